"""SASC beside imodelsx: the same module, corpus and helper answers; seconds, and whether the strongest n-grams agree.

    python perf/sasc.py [--corpus d3_3.csv] [--keyword religious] [--texts 400]

Both put every n-gram of the corpus through one module (minus the distance of MiniLM's embeddings) and pick the 50
strongest; that is where the time goes. With one module both wait for the same encoder; what we save comes with several
modules and settings, which share its vectors. imodelsx and what it imports are not among the packages of the lock.
Prints the ratio of seconds, and how many of its 50 strongest n-grams are among ours.
"""

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conceptbench.benchmark.modules.responses import module_of
from conceptbench.eval.explanation.ngrams import ngrams_of, respond
from conceptbench.runtime.text_encoder import TextEncoder

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
CONSIDERED = 50
INSTALL = "python -m pip install --no-deps imodelsx imodels mlxtend dict_hash seaborn"


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="d3_3.csv", help="a corpus of the D3 modules")
    parser.add_argument("--keyword", default="religious", help="what the module responds to")
    parser.add_argument("--texts", type=int, default=400, help="texts of the corpus")
    options = parser.parse_args()
    path = DATA / "d3" / options.corpus
    if not path.is_file():
        print(f"{path} is not there: set CONCEPTBENCH_DATA", file=sys.stderr)
        return
    import pandas as pd

    texts = pd.read_csv(path)["input"].astype(str).tolist()[: options.texts]
    encoder = TextEncoder("minilm")
    module = module_of(encoder, options.keyword)
    encoder.encode(["warm up"])

    start = time.perf_counter()
    ngrams = ngrams_of(texts)
    ours = respond({"m": (module, ngrams)})["m"].strongest(CONSIDERED)
    seconds = time.perf_counter() - start
    print(f"ConceptBench: {len(ngrams):,} n-grams in {seconds:.1f} s ({len(ngrams) / seconds:,.0f} a second)")
    theirs = imodelsx_ngrams(texts, module)
    if theirs is None:
        print(f"imodelsx is not installed: {INSTALL}", file=sys.stderr)
        return
    found, count, other = theirs
    print(f"imodelsx: {count:,} n-grams in {other:.1f} s ({count / other:,.0f} a second)")
    print(f"faster by {other / seconds:.1f}, for each n-gram by {other / count / (seconds / len(ngrams)):.1f}")
    print(f"of its {len(found)} strongest n-grams {len(set(found) & set(ours))} are among our {len(ours)}")


def imodelsx_ngrams(texts: Sequence[str], module: object) -> tuple[list[str], int, float] | None:
    """Its strongest n-grams, how many it computed, and its seconds; it calls the module with one long list."""
    try:
        from imodelsx.sasc.m1_ngrams import explain_ngrams
    except ImportError:
        return None
    seen = []

    class Counted:
        def __call__(self, asked: Sequence[str]) -> np.ndarray:
            seen.append(len(asked))
            return module(asked)  # type: ignore[operator, no-any-return]

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found, _ = explain_ngrams(list(texts), Counted(), num_top_ngrams=CONSIDERED, use_cache=False)
    return list(found), seen[0], time.perf_counter() - start


if __name__ == "__main__":
    main()
