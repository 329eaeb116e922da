"""BERTScore of explanations, against vectors taken from transformers directly."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import cosine_similarity
from transformers import AutoModel, AutoTokenizer

from conceptbench.eval.explanation.bertscores import bertscores
from conceptbench.eval.explanation.records import RecordedAnswer
from conceptbench.eval.result import read_result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.text_encoder import TextEncoder

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
EXPLAINER = '''
class Three:
    """Has two explanations, then none, then one, and so on."""

    turn = -1

    def explain(self, module, top_ngrams, helper):
        self.turn += 1
        return [["words for animals", "spelling"], [], ["names of cities and towns"]][self.turn % 3]
'''


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_layer_minilm: str) -> dict[str, Any]:
    """A run of an explainer of one's own on modules of two families and a control."""
    (tmp_path / "three_explainers.py").write_text(EXPLAINER)
    monkeypatch.syspath_prepend(tmp_path)
    return {
        "out": tmp_path / "out",
        "explainer": "python:three_explainers:Three",
        "families": ["pattern", "composed", "random"],
        "count": 3,
        "max_ngrams": 500,
        "encoder": one_layer_minilm,
    }


class Reference:
    """BERTScore as Zhang et al. (2020) define it: equations of section 3, without idf weights, a text at a time."""

    def __init__(self, folder: str) -> None:
        self._tokenizer, self._network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)

    def f1(self, text: str, reference: str) -> float:
        closeness = cosine_similarity(self._tokens(reference), self._tokens(text))
        recall, precision = closeness.max(axis=1).mean(), closeness.max(axis=0).mean()
        return float(2 * precision * recall / (precision + recall))

    def _tokens(self, text: str) -> np.ndarray:
        with torch.inference_mode():
            states = self._network(**self._tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        # Without the marks at both ends.
        return states[1:-1].numpy()


def test_bertscore_is_that_of_the_best_and_of_all_explanations(options: dict[str, Any], one_layer_minilm: str) -> None:
    result = evaluate("explanation", **options, bertscore=one_layer_minilm)
    run = open_run(options["out"])
    records = [record for record in run.rows if record.answer is not None]
    assert {len(record.candidates) for record in records} == {0, 1, 2}
    values = run.item_scores.values
    reference = Reference(one_layer_minilm)
    for end, field in (("keyword", "name"), ("sentence", "explanation")):
        expected = {
            record.run: [reference.f1(tested.text, getattr(record.answer, field)) for tested in record.candidates]
            for record in records
        }
        best = {name: scores[0] if scores else 0.0 for name, scores in expected.items()}
        assert values[f"bertscore_{end}"] == pytest.approx(best, abs=1e-5)
        metric = result.metrics[f"bertscore_{end}"]
        assert (metric.value, metric.n) == (pytest.approx(np.mean(list(best.values())), abs=1e-5), 6)
        every = [score for scores in expected.values() for score in scores]
        metric = result.metrics[f"bertscore_no_ranking_{end}"]
        assert (metric.value, metric.n) == (pytest.approx(np.mean(every), abs=1e-5), len(every))
    assert result.metrics["bertscore_keyword/pattern"].n == 3
    # The two references are not one.
    assert values["bertscore_keyword"] != values["bertscore_sentence"]


def test_bertscore_is_computed_again_from_the_records_by_the_same_encoder(
    options: dict[str, Any], one_layer_minilm: str
) -> None:
    result = evaluate("explanation", **options, bertscore=one_layer_minilm)
    assert open_run(options["out"]).metrics == result.metrics
    stated = read_result(options["out"]).provenance["bertscore"]
    assert stated["model"] == one_layer_minilm
    assert stated["reference"] == {"keyword": "name", "sentence": "explanation"}
    file = options["out"] / "result.json"
    file.write_text(file.read_text().replace(stated["digest"], "0" * 64))
    with pytest.raises(InputError, match="other weights"):
        _ = open_run(options["out"]).metrics
    plain = evaluate("explanation", **options | {"out": options["out"].parent / "plain"})
    assert not [name for name in plain.metrics if name.startswith("bertscore")]
    assert plain.provenance["bertscore"] is None


def test_a_decoder_is_refused_before_the_work(options: dict[str, Any], smollm2_folder: str) -> None:
    with pytest.raises(InputError, match="decoder"):
        evaluate("explanation", **options, bertscore=smollm2_folder)
    assert not options["out"].exists()


def test_bertscore_puts_the_papers_explanations_in_about_the_papers_order(one_layer_minilm: str) -> None:
    path = DATA / "sasc_published.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not there: set CONCEPTBENCH_DATA")
    rows = pq.read_table(path, columns=["module", "candidates", "bertscore_f1"]).to_pylist()
    modules = {module["id"]: module for module in json.loads((DATA / "d3" / "modules.json").read_text())}
    answers = {
        place: RecordedAnswer(module["keyword"], (), module["explanation"], "any", ())
        for place, module in enumerate(modules[row["module"]] for row in rows)
    }
    candidates = {place: row["candidates"] for place, row in enumerate(rows)}
    ours = bertscores(answers, candidates, TextEncoder(one_layer_minilm))
    theirs = [score for row in rows for score in row["bertscore_f1"]]
    alike = {
        end: spearmanr([score for of_run in scores.values() for score in of_run], theirs).statistic
        for end, scores in ours.items()
    }
    # Theirs is by another encoder, against the keyword.
    assert alike["keyword"] > 0.7
    assert alike["keyword"] > alike["sentence"] + 0.05
