"""SASC beside imodelsx: the same modules, corpus and helper; seconds, and whether the strongest n-grams agree.

    python perf/sasc.py [--corpus d3_3.csv] [--keywords religious,sports,money,music] [--texts 200]

Both explain modules (minus the distance of MiniLM's embeddings to a keyword) over one corpus, with the paper's
parameters: n-grams up to 3, 50 considered, 30 shown for each of 5 summaries, 10 strings of either sort, SmolLM2 as
helper in this process. imodelsx asks for a module at a time and a reply at a time; ours embeds each n-gram once for all
modules and asks for all replies together. imodelsx and what it imports are not among the packages of the lock.
Prints seconds by step, the ratios, and how many of its 50 strongest n-grams are among ours.
"""

import argparse
import contextlib
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from conceptbench.benchmark.modules.responses import EmbeddingModule, module_of
from conceptbench.eval.methods.sasc.ngrams import ngrams_of, respond
from conceptbench.eval.methods.sasc.sasc import CONSIDERED, SASC, SHOWN, STRINGS, SUMMARIES, Subject
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.llm import LLM, Message, Request
from conceptbench.runtime.progress import Silent
from conceptbench.runtime.text_encoder import TextEncoder

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
INSTALL = "python -m pip install --no-deps imodelsx imodels mlxtend dict_hash seaborn"
_PHRASES_TEMPLATE = 1


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="d3_3.csv", help="a corpus of the D3 modules")
    parser.add_argument("--keywords", default="religious,sports,money,music", help="what the modules respond to")
    parser.add_argument("--texts", type=int, default=200, help="texts of the corpus")
    options = parser.parse_args()
    path = DATA / "d3" / options.corpus
    if not path.is_file():
        print(f"{path} is not there: set CONCEPTBENCH_DATA", file=sys.stderr)
        return
    import pandas as pd

    texts = pd.read_csv(path)["input"].astype(str).tolist()[: options.texts]
    encoder, helper = TextEncoder("minilm"), open_llm("local:smollm2")
    modules = {keyword: module_of(encoder, keyword) for keyword in options.keywords.split(",")}
    helper.complete([_request("warm up", 2)])

    top, embedding, asking = ours(texts, modules, helper)
    print(f"{len(modules)} modules, {len(ngrams_of(texts)):,} n-grams; seconds for n-grams and for the helper's part")
    print(f"ConceptBench  {embedding:7.1f} {asking:7.1f}")
    theirs = imodelsx(texts, modules, helper)
    if theirs is None:
        print(f"imodelsx is not installed: {INSTALL}", file=sys.stderr)
        return
    its_top, its_embedding, its_asking = theirs
    print(f"imodelsx      {its_embedding:7.1f} {its_asking:7.1f}")
    ratio = (its_embedding + its_asking) / (embedding + asking)
    print(f"faster by     {its_embedding / embedding:7.1f} {its_asking / asking:7.1f}   in all {ratio:.1f}")
    for name, ngrams in its_top.items():
        print(f"{name}: of its {len(ngrams)} strongest n-grams {len(set(ngrams) & set(top[name]))} are among ours")


def ours(
    texts: Sequence[str], modules: dict[str, EmbeddingModule], helper: LLM
) -> tuple[dict[str, list[str]], float, float]:
    """Give the strongest n-grams of each module, and the seconds of the two steps."""
    start = time.perf_counter()
    ngrams = ngrams_of(texts)
    responses = respond({name: (module, ngrams) for name, module in modules.items()})
    top = {name: module_responses.strongest(CONSIDERED) for name, module_responses in responses.items()}
    embedded = time.perf_counter()
    SASC().explain([Subject(name, module, top[name]) for name, module in modules.items()], helper, Silent())
    return top, embedded - start, time.perf_counter() - embedded


def imodelsx(
    texts: Sequence[str], modules: dict[str, EmbeddingModule], helper: LLM
) -> tuple[dict[str, list[str]], float, float] | None:
    """Give the same of imodelsx; its template of phrases is chosen, as in the paper."""
    try:
        steps = importlib.import_module("imodelsx.sasc.m1_ngrams")
        generate = importlib.import_module("imodelsx.sasc.m3_generate")
        api = importlib.import_module("imodelsx.sasc.api")
        llm = importlib.import_module("imodelsx.llm")
    except ImportError:
        return None
    top: dict[str, list[str]] = {}
    seconds = [0.0, 0.0]
    plain: Callable[..., Any] = steps.explain_ngrams

    def timed(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = plain(*args, **options)
        seconds[0] += time.perf_counter() - start
        return result

    def reply(prompt: str, max_new_tokens: int = 32, **_: Any) -> str:
        return helper.complete([_request(prompt, max_new_tokens)])[0].text or ""

    steps.explain_ngrams = timed
    llm.get_llm = lambda *_, **__: reply
    generate.generate_synthetic_strs = partial(generate.generate_synthetic_strs, template_num=_PHRASES_TEMPLATE)
    for name, module in modules.items():
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            explained = api.explain_module_sasc(
                list(texts),
                _always_finite(module),
                use_cache=False,
                num_summaries=SUMMARIES,
                num_top_ngrams_to_use=SHOWN,
                num_top_ngrams_to_consider=CONSIDERED,
                num_synthetic_strs=STRINGS,
            )
        seconds[1] += time.perf_counter() - start
        top[name] = list(explained["ngrams_list"])[:CONSIDERED]
    return top, seconds[0], seconds[1] - seconds[0]


def _always_finite(module: EmbeddingModule) -> Callable[[Sequence[str]], np.ndarray]:
    """Answer an empty list too, which it asks about where the helper wrote no string."""
    return lambda texts: module(texts) if len(texts) else np.zeros(1)


def _request(prompt: str, tokens: int) -> Request:
    return Request((Message("user", prompt),), max_tokens=tokens)


if __name__ == "__main__":
    main()
