"""The options of the explanation task: what goes together, and what the provenance holds of them."""

from pathlib import Path
from typing import Any

import pytest

from conceptbench.eval.explanation import TASK
from conceptbench.eval.explanation.options import ExplanationOptions
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.options import read_options, recorded_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--helper: name the LLM"),
        ({"explainer": "ngram", "families": []}, "--families : give some of lexical, .*, voxel"),
        ({"explainer": "ngram", "families": "lexical,magic"}, "--families lexical,magic: give some of"),
        ({"explainer": "ngram", "layer": -1, "families": ["neuron"]}, "--layer -1: give at least 0"),
        ({"explainer": "ngram", "modules": "m.json", "families": ["neuron"], "layer": 1}, "--layer 1: it is for"),
        ({"records": "runs.parquet", "families": ["voxel"], "responses": "r.npz"}, "--responses r.npz: it is for"),
        ({"explainer": "ngram", "magic": 1}, "there is no such option"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_options(ExplanationOptions, options)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"helper": "local:smollm2"}, "local:smollm2"),
        ({"helper": "local:smollm2", "explainer": "tfidf"}, "tfidf"),
        ({"explainer": "python:mine:Own"}, "python:mine:Own"),
        ({"records": "folder/runs.parquet"}, "runs"),
    ],
)
def test_the_default_folder_is_named_by_what_explains(options: dict[str, Any], name: str) -> None:
    assert TASK.folder_name(read_options(ExplanationOptions, options)) == name


def test_what_is_recorded_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    corpus, model = tmp_path / "texts.txt", tmp_path / "encoder"
    corpus.write_text("a text\n")
    model.mkdir()
    options = {
        "helper": f"local:{model}",
        "families": ["neuron"],
        "model": str(model),
        "corpus": str(corpus),
        "judges": [f"local:{model}"],
        "base_url": "https://user:secret@example.org/v1?key=secret",
    }
    recorded = recorded_options(read_options(ExplanationOptions, options))
    assert str(tmp_path) not in str(recorded)
    assert "secret" not in str(recorded)
    assert (recorded["helper"], recorded["model"], recorded["corpus"]) == ("local:encoder", "encoder", "texts.txt")
