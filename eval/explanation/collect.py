"""Collecting the records of an explanation run: modules are explained, or published runs are read, and judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.modules.files import read_modules
from conceptbench.eval.explanation.bertscores import REFERENCES
from conceptbench.eval.explanation.explaining import explain_modules
from conceptbench.eval.explanation.judges import check_askable, check_panel, judge, load_question
from conceptbench.eval.explanation.modules import choose_modules
from conceptbench.eval.explanation.options import ExplanationOptions
from conceptbench.eval.explanation.published import PublishedRun, published_records, read_runs
from conceptbench.eval.explanation.records import Record, not_run
from conceptbench.eval.explanation.scoring import candidates_of
from conceptbench.eval.methods.sasc.explainers import open_explainer
from conceptbench.eval.methods.sasc.helper import load_prompts
from conceptbench.eval.methods.sasc.sasc import SASC
from conceptbench.eval.result import open_folder
from conceptbench.eval.rows import table_of
from conceptbench.eval.task import Collected
from conceptbench.runtime.clients import Clients
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import Usage, public_name
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity, open_token_encoder
from conceptbench.runtime.text_encoder import TextEncoder

PUBLISHED: Final = "published"
"""The explainer and the system of published runs."""


def collect(options: ExplanationOptions, folder: Path, progress: Progress) -> Collected:
    """Have text modules explained, or read published runs, and have the explanations judged.

    Run again into the same folder, it computes no response and asks no question twice.

    Raises
    ------
    InputError
        if an option or a file is wrong.
    ConceptBenchError
        if a module, the helper or a judge cannot be asked.
    """
    runs = _check(options)
    encoders = _encoder_facts(options, progress)
    published = None if runs is None else _published(options, runs)
    open_folder(folder)
    with Journal(folder / "journal.sqlite") as journal, Clients(journal, **options.client_options()) as clients:
        explained = published or _explain(options, folder, clients, progress)
        judged = judge(
            explained.records,
            _best(explained.records, explained.keeps_order, options.seed) if options.judges else {},
            options.judges,
            clients.opener(options.judge_server),
            seed=options.seed,
            progress=progress,
        )
    return Collected(
        system=explained.system,
        dataset=explained.dataset,
        dataset_sha256=explained.dataset_sha256,
        records=table_of(judged.records, Record),
        facts={
            "study": None,
            "prompts": _prompts(options),
            "decoding": _decoding(options),
            "judges": [asdict(usage) | {"system": name} for name, usage in judged.usage.items()],
            **encoders,
            **explained.facts,
        },
    )


@dataclass(frozen=True)
class _Explained:
    """Explained modules before they are judged, with what the result says of them."""

    system: str
    dataset: str
    dataset_sha256: str
    records: Sequence[Record]
    keeps_order: bool
    facts: Mapping[str, Any]


def _check(options: ExplanationOptions) -> list[PublishedRun] | None:
    """Refuse what cannot work before any work is done; give the published runs, if such are scored."""
    if options.records is None:
        check_panel(options, [options.helper])
        if options.helper is not None:
            check_askable(options.helper, options.base_url)
        return None
    if not _answers_file(options).is_file():
        raise InputError(
            f"--records {options.records}: {_answers_file(options)} is not there; name the modules' file with --modules"
        )
    runs = read_runs(options.records)
    check_panel(options, [options.helper, *(run.helper for run in runs)])
    return runs


def _answers_file(options: ExplanationOptions) -> Path:
    """Give the file with the modules of published runs: by default the paper's, beside its runs."""
    if options.modules is not None or options.records is None:
        return options.modules or Path()
    return options.records.parent / "d3" / "modules.json"


def _published(options: ExplanationOptions, runs: Sequence[PublishedRun]) -> _Explained:
    """Make records of published runs, which are scored by the patterns alone."""
    path, answers = options.records or Path(), _answers_file(options)
    return _Explained(
        system=PUBLISHED,
        dataset=path.name,
        dataset_sha256=sha256(path, answers),
        records=published_records(path, runs, read_modules(answers, TextEncoder(options.encoder))),
        keeps_order=True,
        facts={
            "explainer": PUBLISHED,
            "keeps_order": True,
            "plain_patterns": True,
            "inside": None,
            "encoders": [],
            **_usage_facts(Usage()),
        },
    )


def _explain(options: ExplanationOptions, folder: Path, clients: Clients, progress: Progress) -> _Explained:
    """Choose modules, and have them explained."""
    helper = None if options.helper is None else clients.open(options.helper, options.base_url)
    explainer = open_explainer(options.explainer, helper, SASC(strings=options.strings, seed=options.seed))
    chosen = choose_modules(options, TextEncoder(options.encoder), progress)
    modules, left_out = chosen.modules[: options.limit], chosen.modules[len(chosen.modules[: options.limit]) :]
    records = [
        *explain_modules(modules, explainer, options, folder / "responses", progress),
        *(not_run(module) for module in left_out if module.answer is not None),
    ]
    families = ", ".join(options.families)
    return _Explained(
        system=public_name(options.helper or "") if options.explainer == "sasc" else options.explainer,
        dataset=(
            f"drawn modules: {families}, {options.count} each" if options.modules is None else options.modules.name
        ),
        dataset_sha256=_digest(records),
        records=records,
        keeps_order=explainer.keeps_order,
        facts={
            "keeps_order": explainer.keeps_order,
            "inside": chosen.inside,
            "encoders": chosen.encoders,
            # The judges may ask the same client later.
            **_usage_facts(replace(helper.usage) if helper is not None else Usage()),
        },
    )


def _usage_facts(usage: Usage) -> dict[str, Any]:
    """Give what the helper's answers took, for the provenance."""
    return {
        "calls": usage.calls,
        "cost_usd": usage.cost,
        "tokens": {"in": usage.tokens_in, "out": usage.tokens_out},
    }


def _encoder_facts(options: ExplanationOptions, progress: Progress) -> dict[str, Any]:
    """Open the encoders that scores are computed with, so that a missing one shows at once, and give their digests."""
    similarity = Similarity(options.encoder, progress)
    token_encoder = None if options.bertscore is None else open_token_encoder(options.bertscore)
    return {
        "encoder": {"model": options.encoder, "name": similarity.name, "digest": similarity.digest},
        "bertscore": (
            {"model": options.bertscore, "digest": token_encoder.digest, "reference": dict(REFERENCES)}
            if token_encoder is not None
            else None
        ),
    }


def _prompts(options: ExplanationOptions) -> dict[str, str]:
    helper = {"helper": load_prompts().sha256} if options.helper is not None else {}
    return helper | ({"equivalence": load_question().sha256} if options.judges else {})


def _decoding(options: ExplanationOptions) -> dict[str, Any]:
    helper = {"summaries": {"temperature": 0}, "strings": {"temperature": 0.7, "seed": 0}}
    return helper | ({"judges": {"temperature": 0}} if options.judges else {})


def _best(records: Sequence[Record], keeps_order: bool, seed: int) -> dict[int, str | None]:
    """Give the text of each run's best explanation, by the record's row; None where there is none."""
    ranked = [candidates_of(record, keeps_order=keeps_order, seed=seed) for record in records]
    return {row: candidates[0].text if candidates else None for row, candidates in enumerate(ranked)}


def _digest(records: Sequence[Record]) -> str:
    """Digest what was to be explained, so that runs on the same modules can be told."""
    rows = [
        [
            record.run,
            None if record.answer is None else asdict(record.answer.answer),
            record.ngrams,
            record.spread,
        ]
        for record in records
    ]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
