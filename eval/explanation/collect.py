"""A run of the explanation task: modules respond, an explainer explains, its explanations are tested and recorded."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from conceptbench.benchmark.modules import FAMILIES, KnownModule
from conceptbench.benchmark.modules.files import read_modules
from conceptbench.eval.explanation.bertscores import REFERENCES
from conceptbench.eval.explanation.judges import Panel, load_question
from conceptbench.eval.explanation.modules import Choice
from conceptbench.eval.explanation.published import read_published
from conceptbench.eval.explanation.records import (
    NOT_RUN,
    RECORDS,
    Record,
    answer_row,
    read_records,
    records_table,
)
from conceptbench.eval.explanation.scoring import Scores, candidates_of, score
from conceptbench.eval.methods.sasc.candidates import FEWEST_STRINGS
from conceptbench.eval.methods.sasc.explainers import Explainer, open_explainer
from conceptbench.eval.methods.sasc.helper import load_prompts
from conceptbench.eval.methods.sasc.ngrams import Responses, drawn, ngrams_of, respond
from conceptbench.eval.methods.sasc.sasc import CONSIDERED, SASC, STRINGS, Subject
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import parse_system, public_name
from conceptbench.runtime.models import MINILM, model_config
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.similarity import Similarity, check_weights, open_token_encoder
from conceptbench.runtime.text_encoder import TextEncoder

TASK: Final = "explanation"
TASK_VERSION: Final = "1.0"
SETTINGS: Final = ("default", "restricted", "noisy")
NOISE: Final = 3.0
"""Of the setting `noisy`, in standard deviations of the 100 strongest responses to n-grams."""

MODULES: Final = 5
"""Modules drawn of each family by default."""

PUBLISHED: Final = "published"

_FEWEST_NGRAMS = 10
_NO_ANSWER = "No module of the run has an answer."


def evaluate_explanation(
    *,
    out: str | Path,
    helper: str | None = None,
    explainer: str = "sasc",
    modules: str | Path | None = None,
    families: Sequence[str] = tuple(FAMILIES),
    count: int = MODULES,
    settings: Sequence[str] = ("default",),
    repeats: int = 1,
    strings: int = STRINGS,
    max_ngrams: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    records: str | Path | None = None,
    plain_patterns: bool = False,
    encoder: str = MINILM,
    bertscore: str | None = None,
    judges: Sequence[str] = (),
    judge_base_url: str | None = None,
    allow_self_judging: bool = False,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    price: tuple[float, float] | None = None,
    model: str | None = None,
    layer: int | None = None,
    corpus: str | None = None,
    text_column: str | None = None,
    responses: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Have text modules explained, most with known answers, and score the explanations.

    What each metric means is in docs/explanation.md. Run again into the same folder, it computes no response and asks
    no question twice.

    Parameters
    ----------
    out : folder for `result.json`, `records.parquet`, the journal and the responses computed so far.
    helper : the LLM that summarises and writes strings.
    explainer : `sasc`, `ngram`, `tfidf`, or `python:<module>:<class>`, see `open_explainer`.
    modules : a file of modules with their corpora beside it; else they are drawn from the gold lexicon.
    families, count : which modules are drawn, and how many of each family; those of `INNER_FAMILIES` only if named.
    settings : `default`, `restricted` (n-grams that the next module's corpus has too), `noisy` (noise on the responses
        to n-grams, of three standard deviations of the 100 strongest).
    repeats : runs of each module and setting, with other draws.
    strings : that the helper writes to test an explanation, so many that fit it and as many that do not.
    max_ngrams : n-grams of each corpus, drawn by the seed; all by default.
    limit : modules, in their order.
    seed : of modules, n-grams, summaries, noise and intervals.
    records : published runs to score instead; `modules` names their answers, by default `d3/modules.json` beside it.
    plain_patterns : score by the accept pattern alone, without the guard; `records` implies it.
    encoder : of the modules of an embedding, and of `explanation_similarity`.
    bertscore : also give BERTScore against the answer's name and its explanation, with this encoder.
    judges : language models that say whether explanations are equivalent to the true ones; calibrated on controls.
    judge_base_url : the server of `openai:` judges, by default the helper's.
    allow_self_judging : let the helper's model judge its own explanations all the same.
    base_url, concurrency, timeout, price : of `openai:` systems.
    model, layer : of neurons, factors and probes; by default MiniLM, and the layer at half the depth.
    corpus, text_column : the texts, as in `build`, whose words factors and probes are learned from and whose n-grams
        modules inside models and voxels are explained by; by default the gold lexicon's.
    responses : recorded voxels, see `read_responses`: those that are predicted best are explained.

    Raises
    ------
    InputError
        if an option or a file is wrong.
    ConceptBenchError
        if a module or the helper cannot be asked.
    """
    progress = progress or Silent()
    _check_options(
        settings, {"limit": limit, "repeats": repeats, "max-ngrams": max_ngrams, "count": count, "strings": strings}
    )
    panel = Panel(
        judges,
        allow_self_judging,
        {"base_url": judge_base_url or base_url, "concurrency": concurrency, "timeout": timeout, "price": price},
    )
    panel.check([helper])
    token_encoder = open_token_encoder(bertscore) if bertscore is not None else None
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    provenance: dict[str, Any] = {}
    if records is not None:
        answers = Path(modules) if modules is not None else Path(records).parent / "d3" / "modules.json"
        if not answers.is_file():
            raise InputError(f"--records {records}: {answers} is not there; name the modules' file with --modules")
        rows = read_published(Path(records), read_modules(answers, TextEncoder(encoder)))
        panel.check([row["helper"] for row in rows])
        system, plain_patterns = PUBLISHED, True
        dataset, digest = Path(records).name, sha256(Path(records), answers)
    else:
        if helper is None and explainer == "sasc":
            raise InputError("--helper: name the LLM that summarises, such as local:smollm2 or openai:MODEL")
        if helper is not None and parse_system(helper)[0] == "local":
            # Missing weights should show before modules are drawn and every n-gram is embedded.
            model_config(parse_system(helper)[1])
        every, provenance = Choice(
            file=None if modules is None else Path(modules),
            families=families,
            count=count,
            seed=seed,
            model=model,
            layer=layer,
            corpus=corpus,
            text_column=text_column,
            responses=None if responses is None else Path(responses),
        ).open(TextEncoder(encoder), progress)
        chosen = every[:limit]
        with Journal(folder / "journal.sqlite") as journal:
            client = None
            if helper is not None:
                client = open_llm(
                    helper,
                    journal=journal,
                    base_url=base_url,
                    concurrency=concurrency,
                    timeout=timeout,
                    price=price,
                )
            try:
                method = open_explainer(explainer, client, SASC(strings=strings, seed=seed))
                run = _Run(chosen, settings, repeats, max_ngrams, seed, folder / "responses", progress)
                rows = run.records(method, public_name(helper) if helper is not None else None)
                rows += [_left_out(module) for module in every[len(chosen) :] if module.answer is not None]
                provenance["usage"] = asdict(client.usage) if client is not None else None
            finally:
                if client is not None:
                    client.close()
        system = public_name(helper or "") if explainer == "sasc" else explainer
        dataset = Path(modules).name if modules is not None else f"drawn modules: {', '.join(families)}, {count} each"
        digest = _digest(rows)
    similarity = Similarity(encoder, progress)
    options = {"keeps_order": records is not None or explainer != "sasc", "plain_patterns": plain_patterns}
    judged = panel.judge(rows, _best(rows, options["keeps_order"], seed) if judges else [], folder, seed, progress)
    written = write_records(folder, records_table(rows))
    scores = score(rows, similarity, **options, bertscore_encoder=token_encoder, seed=seed)
    usage = provenance.get("usage") or {}
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=system,
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            "dataset": dataset,
            "dataset_sha256": digest,
            "seed": seed,
            "study": None,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "explainer": explainer if records is None else PUBLISHED,
            "helper": public_name(helper) if helper is not None else None,
            "settings": list(settings),
            "repeats": repeats,
            "max_ngrams": max_ngrams,
            "strings": strings,
            **options,
            "prompts": ({"helper": load_prompts().sha256} if helper is not None else {})
            | ({"equivalence": load_question().sha256} if judges else {}),
            "decoding": {"summaries": {"temperature": 0}, "strings": {"temperature": 0.7, "seed": 0}}
            | ({"judges": {"temperature": 0}} if judges else {}),
            "inside": provenance.get("inside"),
            "encoders": provenance.get("encoders", []),
            "encoder": {"model": encoder, "name": similarity.name, "digest": similarity.digest},
            "bertscore": (
                {"model": bertscore, "digest": token_encoder.digest, "reference": dict(REFERENCES)}
                if token_encoder
                else None
            ),
            "judges": [asdict(used) | {"system": name} for name, used in judged.items()],
            "calls": usage.get("calls", 0),
            "cost_usd": usage.get("cost"),
            "tokens": {"in": usage.get("tokens_in", 0), "out": usage.get("tokens_out", 0)},
            "undefined": scores.undefined
            | ({"equivalence": _NO_ANSWER} if judges and "equivalence" not in scores.metrics else {}),
        },
        records_sha256=written,
    )
    write_result(folder, result)
    return result


def rescore(folder: Path, result: Result, progress: Progress | None = None) -> Scores:
    """Compute a run's scores again from its records.

    Raises
    ------
    InputError
        if the encoder here is not the one of the run.
    """
    provenance = result.provenance
    similarity = Similarity(provenance["encoder"]["model"], progress)
    check_weights(similarity, provenance["encoder"]["digest"])
    token_encoder = None
    if provenance["bertscore"] is not None:
        token_encoder = open_token_encoder(provenance["bertscore"]["model"])
        check_weights(token_encoder, provenance["bertscore"]["digest"])
    return score(
        read_records(folder),
        similarity,
        keeps_order=provenance["keeps_order"],
        plain_patterns=provenance["plain_patterns"],
        bertscore_encoder=token_encoder,
        seed=provenance["seed"],
    )


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return rescore(folder, result, progress).metrics


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give the values of single runs, computed from the records; the group is the module."""
    scores = rescore(folder, result, progress)
    return ItemScores(
        values={
            name: {scores.runs[row]["run"]: value for row, value in own.items()} for name, own in scores.values.items()
        },
        groups={record["run"]: record["module"] for record in scores.runs},
    )


@dataclass(frozen=True)
class _Run:
    """Modules under their settings, on the way to records."""

    modules: Sequence[KnownModule]
    settings: Sequence[str]
    repeats: int
    max_ngrams: int | None
    seed: int
    cache: Path
    progress: Progress

    def records(self, explainer: Explainer, helper: str | None) -> list[Record]:
        """Explain every module under every setting, and test the explanations."""
        corpora = self._ngrams()
        wanted = {module.id: drawn(corpora[module.id], self.max_ngrams, self.seed) for module in self.modules}
        for name, own in wanted.items():
            if len(own) < _FEWEST_NGRAMS:
                raise InputError(
                    f"module {name}: its corpus has {len(own)} n-grams; at least {_FEWEST_NGRAMS} are needed"
                )
        self.cache.mkdir(exist_ok=True)
        responses = respond(
            {module.id: (module.module, wanted[module.id]) for module in self.modules},
            cache=self.cache,
            progress=self.progress,
        )
        rows, subjects = [], []
        for setting in self.settings:
            for place, module in enumerate(self.modules):
                following = self.modules[(place + 1) % len(self.modules)]
                allowed = set(corpora[following.id]) if setting == "restricted" else None
                for repeat in range(self.repeats):
                    run = f"{module.id}/{setting}/{repeat}"
                    heard = responses[module.id]
                    if setting == "noisy":
                        heard = heard.with_noise(NOISE, generator_of("noise", self.seed, run))
                    top = heard.strongest(CONSIDERED, allowed) if responses[module.id].spread > 0.0 else []
                    rows.append(self._row(module, setting, repeat, helper, responses[module.id], top))
                    subjects.append(Subject(run, module.module, top, rows[-1]["baseline_tfidf"]))
        explained = explainer.explain(subjects, self.progress)
        for row, candidates in zip(rows, explained, strict=True):
            if row["reason"] is None:
                row["candidates"] = [{**asdict(strings), "score": said} for strings, said in candidates]
                row["reason"] = None if candidates else "no answer"
        self._identify(rows, responses, keeps_order=explainer.keeps_order)
        return rows

    def _ngrams(self) -> dict[str, list[str]]:
        """List the n-grams of each module's corpus; drawn modules share one, or two."""
        found: dict[str, list[str]] = {}
        shared: dict[tuple[str, ...], list[str]] = {}
        with self.progress.stage("Reading n-grams", len(self.modules)) as advance:
            for module in self.modules:
                texts = tuple(module.corpus()) if module.corpus is not None else ()
                if texts not in shared:
                    shared[texts] = ngrams_of(texts)
                found[module.id] = shared[texts]
                advance(1)
        if "restricted" in self.settings and len(shared) < 2:
            raise InputError("--settings restricted: it needs two modules or more, with corpora of their own")
        return found

    def _row(
        self,
        module: KnownModule,
        setting: str,
        repeat: int,
        helper: str | None,
        responses: Responses,
        top: Sequence[str],
    ) -> Record:
        return {
            **_left_out(module),
            "run": f"{module.id}/{setting}/{repeat}",
            "setting": setting,
            "repeat": repeat,
            "helper": helper,
            "ngrams": len(responses.ngrams),
            "spread": responses.spread,
            "top_ngrams": list(top),
            "baseline_tfidf": _tfidf(top, responses.ngrams),
            "reason": "constant" if responses.spread == 0.0 else None,
        }

    def _identify(self, rows: Sequence[Record], responses: Mapping[str, Responses], *, keeps_order: bool) -> None:
        """Run the strings of each run's best candidate through every module that is no control."""
        rivals = [module for module in self.modules if not module.control and responses[module.id].spread > 0]
        if len(rivals) < 2:
            return
        scores = score(rows, None, keeps_order=keeps_order, seed=self.seed)
        asked: list[tuple[Record, Any]] = []
        for record, candidates in zip(rows, scores.candidates, strict=True):
            tested = {own["text"]: own for own in record["candidates"]}
            if not record["control"] and candidates and tested[candidates[0].text]["related"]:
                asked.append((record, tested[candidates[0].text]))
        texts = list(dict.fromkeys(text for _, own in asked for text in (*own["related"], *own["unrelated"])))
        place = {text: number for number, text in enumerate(texts)}
        if not texts:
            return
        heard = respond({module.id: (module.module, texts) for module in rivals}, progress=self.progress)
        for record, own in asked:
            sides = [[place[text] for text in own[side]] for side in ("related", "unrelated")]
            if min(map(len, sides)) == 0:
                continue
            record["own_scores"] = [
                {"module": name, "score": _difference(heard[name].values, sides) / responses[name].spread}
                for name in heard
            ]


def _check_options(settings: Sequence[str], counts: Mapping[str, int | None]) -> None:
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown or not settings:
        raise InputError(f"--settings {','.join(settings)}: give some of {','.join(SETTINGS)}")
    for name, value in counts.items():
        fewest = FEWEST_STRINGS if name == "strings" else 1
        if value is not None and value < fewest:
            raise InputError(f"--{name} {value}: give {fewest} or more")


def _best(rows: Sequence[Record], keeps_order: bool, seed: int) -> list[str | None]:
    """Give the text of each run's best explanation; None where there is none."""
    ranked = [candidates_of(row, keeps_order, seed) for row in rows]
    return [own[0].text if own else None for own in ranked]


def _left_out(module: KnownModule) -> Record:
    """Make the record of a module that was not run: its answer alone."""
    empty: Record = dict.fromkeys(RECORDS.names)
    return empty | {
        "module": module.id,
        "family": module.family,
        "answer": answer_row(module.answer),
        "control": module.control,
        "fit": module.fit,
        "fit_p": module.fit_p,
        "top_ngrams": [],
        "candidates": [],
        "reason": NOT_RUN,
        "own_scores": [],
        "judgements": [],
    }


def _difference(values: np.ndarray, sides: Sequence[Sequence[int]]) -> float:
    return float(values[list(sides[0])].mean() - values[list(sides[1])].mean())


def _tfidf(top: Sequence[str], ngrams: Sequence[str]) -> str | None:
    """Give the word that stands out most in the strongest n-grams: tf in them, idf over all n-grams."""
    if not top:
        return None
    counts = Counter(word for ngram in top for word in set(ngram.casefold().split()) if re.search(r"\w\w", word))
    if not counts:
        return None
    holders = Counter(word for ngram in ngrams for word in set(ngram.casefold().split()) if word in counts)
    return max(sorted(counts), key=lambda word: counts[word] * math.log(len(ngrams) / (1 + holders[word])))


def _digest(rows: Sequence[Record]) -> str:
    """Digest what was to be explained, so that runs on the same modules can be told."""
    asked = [[row[name] for name in ("run", "answer", "ngrams", "spread")] for row in rows]
    return hashlib.sha256(json.dumps(asked, separators=(",", ":")).encode()).hexdigest()
