"""Reading the published TCN files."""

import json
from pathlib import Path

import datasets
import pytest

from conceptbench.benchmark.loading import load_concepts
from conceptbench.builders.tcn import import_tcn
from conceptbench.runtime.errors import InputError

SENTENCES = ["The cat sat .", "A dog ran , ||| fast .", "It  rained ."]
CLUSTERS = """cat|||2|||0|||1|||0
dog|||2|||1|||1|||0
sat|||1|||0|||2|||3
ran|||1|||1|||2|||3
||||||1|||1|||4|||5
.|||3|||2|||2|||5
"""


def publish(folder: Path, clusters: str = CLUSTERS, annotations: object = None, sentences: object = None) -> Path:
    """Write files of the published form."""
    layer = folder / "layer3"
    layer.mkdir(parents=True)
    (layer / "clusters-600.txt").write_text(clusters)
    labels = {"c0": "Animals", "c3": "Past tense verbs", "c5": ""} if annotations is None else annotations
    (layer / "annotations.json").write_text(json.dumps(labels))
    (folder / "sentences.json").write_text(json.dumps(SENTENCES if sentences is None else sentences))
    return folder


def test_a_models_folder_becomes_a_store(tmp_path: Path) -> None:
    store = import_tcn(publish(tmp_path / "bert-base-cased"), tmp_path / "store")
    rows = load_concepts(store.path).to_list()
    assert [(row["concept"], row["label"], row["size"]) for row in rows] == [
        ("bert-base-cased/L03/C0000", "Animals", 2),
        ("bert-base-cased/L03/C0003", "Past tense verbs", 2),
        ("bert-base-cased/L03/C0005", None, 2),
    ]
    assert rows[2]["words"] == [{"word": ".", "count": 1}, {"word": "|||", "count": 1}]
    assert rows[0]["cohesion"] is None
    texts = store.sentences()["text"].to_pylist()
    for row in store.occurrences("bert-base-cased", 3).to_pylist():
        assert texts[row["sentence"]].split(" ")[row["position"]] == row["word"]
    plain = datasets.load_dataset(str(store.path), "concepts", split="train")
    assert plain.to_list() == rows


def test_a_folder_of_models_becomes_one_store(tmp_path: Path) -> None:
    publish(tmp_path / "tcn" / "bert")
    publish(tmp_path / "tcn" / "albert", sentences=["Other words .", "Sentences are here , quite .", "So it is ."])
    publish(tmp_path / "tcn" / "roberta")
    store = import_tcn(tmp_path / "tcn", tmp_path / "store")
    assert store.models == ["albert", "bert", "roberta"]
    assert len(load_concepts(store.path, model="bert")) == 3
    assert (
        store.occurrences("bert", 3)["sentence"].to_pylist() == store.occurrences("roberta", 3)["sentence"].to_pylist()
    )
    texts = store.sentences()["text"].to_pylist()
    assert len(texts) == 6
    assert texts[store.occurrences("bert", 3)["sentence"][0].as_py()] == "The cat sat ."


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"clusters": "cat|||2|||0|||1\n"}, "clusters-600.txt, line 1: not of the form"),
        ({"clusters": "cat|||2|||0|||x|||1\n"}, "line 1: not of the form"),
        ({"clusters": CLUSTERS + "cat|||2|||7|||1|||0\n"}, "line 7: sentence 7 is not in sentences.json"),
        ({"clusters": "cat|||2|||0|||9|||0\n"}, "line 1: sentence 0 has no word at position 9"),
        ({"clusters": "cat|||2|||-1|||0|||0\n"}, "line 1: sentence -1"),
        ({"clusters": "\n"}, "is empty"),
        ({"annotations": {"c9": "Nothing"}}, "c9 is no cluster"),
        ({"annotations": {"0": "Animals"}}, "'0' is not c<cluster>"),
        ({"annotations": ["Animals"]}, "not an object"),
        ({"sentences": {"0": "x"}}, "not a list of sentences"),
    ],
)
def test_wrong_files_are_named_and_nothing_is_left(tmp_path: Path, files: dict[str, object], message: str) -> None:
    publish(tmp_path / "bert", **files)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        import_tcn(tmp_path / "bert", tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bert"]


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no TCN files"):
        import_tcn(tmp_path, tmp_path / "store")
    with pytest.raises(InputError, match="is not a folder"):
        import_tcn(tmp_path / "gone", tmp_path / "store")
    publish(tmp_path / "bert")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        import_tcn(tmp_path / "bert", tmp_path / "store")
    (tmp_path / "bert" / "sentences.json").unlink()
    with pytest.raises(InputError, match="has no sentences.json"):
        import_tcn(tmp_path / "bert", tmp_path / "other")
