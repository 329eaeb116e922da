"""A board made of real runs: labels of a rule, of a file that names half of the items, and of one of single words."""

import csv
import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from conceptbench.eval.result import package_version
from conceptbench.eval.run import Run, evaluate, open_run
from conceptbench.eval.stats.paired import paired_difference
from conceptbench.eval.tasks import task_of

MAIN = "gold_match"
COSTS = (0.0123, 0.00021, None)


def run_all(folder: Path, limit: int, encoder: str | None = None) -> dict[str, list[Path]]:
    """Run three annotators on the same gold items, and one of them on others; give the folders by board."""
    first, reseeded = folder / "lexical", folder / "reseeded"
    options: dict[str, Any] = {"limit": limit, **({"encoder": encoder} if encoder is not None else {})}
    evaluate("annotation", annotator="lexical", **options, out=first)
    evaluate("annotation", annotator="lexical", **options, seed=1, out=reseeded)
    items = pq.read_table(first / "records.parquet").to_pylist()
    half = [(row["item"], row["concept"].partition("/")[2].replace("-", " ")) for row in items[::2]]
    made = [first]
    for name, labels in (("half", half), ("words", [(row["item"], row["words"][0]) for row in items])):
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("concept", "label"), *labels])
        evaluate("annotation", annotator=f"file:{path}", **options, out=folder / name)
        made.append(folder / name)
    return {"current": made, "reseeded": [reseeded]}


def make_board(runs: dict[str, list[Path]]) -> dict[str, Any]:
    """Make a board of the folders: a current table, one of an earlier version, and a table that is not ranked."""
    current = _task(runs["current"], "1.0", current=True)
    current["rows"].append(_paper("sasc/default", "SASC, default", 0.883))
    old = _task(runs["reseeded"], "0.9", current=False)
    old["rows"][0]["id"] += "-old"
    neurons = _task(runs["reseeded"], "1.0", current=True) | {
        "task": "neurons",
        "board": "neurons-1.0-x",
        "ranked": False,
        "why_not": "neurons are reported, not ranked.",
        "main": None,
        "resolution": None,
    }
    neurons["rows"][0] |= {"rank": None, "rank_low": None, "rank_high": None, "id": "lexical/neurons/2026-11-21"}
    return {
        "schema": "conceptbench.board/1",
        "version": package_version(),
        "built": datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).isoformat(),
        "tasks": [current, neurons, old],
        "rejected": [
            {
                "submission": "cheat/annotation/2026-11-20",
                "reason": "metric 'gold_match' is 0.99 in the file, but 0.05 by its records",
            }
        ],
        "history": [
            {
                "task": task["task"],
                "version": task["version"],
                "items": task["items"],
                "system": row["system"],
                "metric": MAIN,
                **{name: row["metrics"][MAIN][name] for name in ("value", "low", "high")},
                "date": row["date"],
                "rank": row["rank"],
            }
            for task in (current, old)
            for row in task["rows"]
            if row["kind"] != "reported"
        ],
        "splits": [
            {
                "date": "2026-11-01",
                "commitment": "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
                "seed": 831,
            },
            {
                "date": "2026-11-20",
                "commitment": "8fe734c43d7cf21408dc76e8e2700eaa5370b3564b9d9a85ae74b61e247d9407",
                "seed": None,
            },
        ],
    }


def _task(folders: Sequence[Path], version: str, *, current: bool) -> dict[str, Any]:
    runs = [open_run(folder) for folder in folders]
    provenance = runs[0].result.provenance
    rows = [_row(run, number) for number, run in enumerate(runs)]
    order = sorted(rows, key=lambda row: -row["metrics"][MAIN]["value"])
    for rank, row in enumerate(order, start=1):
        row |= {"rank": rank, "rank_low": rank, "rank_high": min(rank + 1, len(rows))}
    return {
        "task": "annotation",
        "version": version,
        "what": task_of("annotation").summary,
        "items": provenance["dataset_sha256"],
        "board": f"annotation-{version}-{provenance['dataset_sha256'][:8]}",
        "dataset": provenance["dataset"],
        "current": current,
        "ranked": True,
        "why_not": "",
        "main": MAIN,
        "resolution": 0.081,
        "metrics": task_of("annotation").descriptions,
        "rows": rows,
        "pairs": _pairs(runs, rows),
    }


def _row(run: Run, number: int) -> dict[str, Any]:
    result = run.result
    name = run.folder.name
    records = pq.read_table(run.folder / "records.parquet", columns=["item", "words", "label", "reason"]).to_pylist()
    return {
        "id": f"{name}/annotation/2026-11-{20 + number}",
        "system": result.system if name == "lexical" else f"file:{name}.csv",
        "name": f"The {name} labels",
        "kind": ("rerun", "self", "self")[number],
        "metrics": {key: asdict(metric) for key, metric in result.metrics.items()},
        "cost_usd": COSTS[number],
        "tokens": result.provenance["tokens"],
        "seconds": result.provenance["seconds"],
        "date": f"2026-11-{20 + number}",
        "model_link": "https://example.org/model" if number == 0 else "",
        "code_link": "",
        "source": "",
        "decoding": result.provenance["decoding"],
        "seeds": [result.provenance["seed"]],
        "notes": "A rule without a model." if number == 0 else "",
        "prompts": result.provenance["prompts"],
        "examples": [asdict(example) for example in run.examples],
        "records": f"records/{name}.parquet",
        "rows_shown": json.loads(json.dumps(records[:200])),
    }


def _paper(identity: str, name: str, value: float) -> dict[str, Any]:
    metric = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 162}
    return {
        "id": identity,
        "system": name,
        "name": name,
        "kind": "reported",
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "metrics": {"accuracy": metric},
        "cost_usd": None,
        "tokens": {"in": 0, "out": 0},
        "seconds": None,
        "date": "2023",
        "model_link": "",
        "code_link": "",
        "source": "Singh et al. 2023, arXiv 2305.09863",
        "decoding": {},
        "seeds": [],
        "notes": "",
        "prompts": {},
        "examples": [],
        "records": None,
        "rows_shown": [],
    }


def _pairs(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    scores = [run.item_scores for run in runs]
    pairs = []
    for i, first in enumerate(rows):
        for j in range(i + 1, len(rows)):
            difference = paired_difference(scores[i].values[MAIN], scores[j].values[MAIN], scores[i].groups)
            pairs.append(
                {
                    "first": first["id"],
                    "second": rows[j]["id"],
                    "metric": MAIN,
                    "value": difference.value,
                    "low": difference.low,
                    "high": difference.high,
                    "p": difference.p,
                    "p_holm": min(1.0, 3 * difference.p),
                    "n": difference.n,
                }
            )
    return pairs
