"""Presets: the two that are packaged, one's own, and slices of them."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conceptbench.benchmark.prompts import load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.corpus import open_corpus
from conceptbench.builders.presets import build_preset, load_preset, preset_names
from conceptbench.runtime.errors import InputError

K = 12


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of real sentences, one a line."""
    from gensim.test.utils import datapath

    texts = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").split(".")
    path = tmp_path_factory.mktemp("corpus") / "news.txt"
    path.write_text("\n".join(" ".join(text.split()) + " ." for text in texts[:300]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def options(news: str, one_layer_minilm: str) -> dict[str, Any]:
    """What makes a slice of `tcn` that is quick: a small corpus, and two small models for its five."""
    return {"corpus": news, "model": [one_layer_minilm, "minilm"], "layers": "0-1", "k": K, "min_count": 3}


@pytest.fixture(scope="module")
def sliced(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """That slice."""
    return build_preset("tcn", tmp_path_factory.mktemp("sliced") / "store", **options)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the journal and the manifest, which hold times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("journal") and path.name != "manifest.json"
    }


def own(folder: Path, text: str) -> str:
    """Write a preset of one's own."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", preset_names())
def test_what_a_preset_says_can_be_built(name: str) -> None:
    preset = load_preset(name)
    assert preset.version
    assert preset.description.endswith(".")
    options = preset.options
    assert open_corpus(options.corpus, options.text_column).name == options.corpus
    assert load_prompt(options.prompt).name == options.prompt


def test_the_tcn_preset_makes_39000_concepts_of_five_models() -> None:
    tcn = load_preset("tcn")
    assert len(set(tcn.options.model)) == 5
    # A base model has the embeddings and twelve layers.
    assert tcn.layers_of(13) == list(range(13))
    assert tcn.concepts == 5 * 13 * 600 == 39_000


def test_the_reference_preset_takes_all_layers_and_gives_no_text() -> None:
    reference = load_preset("reference")
    options = reference.options
    assert (options.model, options.layers, options.text) == (("minilm", "smollm2"), "all", "referred")
    assert options.annotator == ("local:smollm2", "lexical")
    assert reference.layers_of(31) == list(range(31))
    assert reference.concepts is None


def test_a_slice_has_every_model_over_the_same_draw(sliced: ConceptStore) -> None:
    assert sliced.models == ["one-layer-minilm", "minilm"]
    drawn = []
    for model in sliced.models:
        assert sliced.layers(model) == [0, 1]
        for layer in (0, 1):
            assert sliced.concepts(model, layer)["concept"].to_pylist() == [
                f"{model}/L{layer:02d}/C{i:04d}" for i in range(K)
            ]
            rows = sliced.occurrences(model, layer).to_pylist()
            drawn.append(Counter((row["word"], row["sentence"], row["position"]) for row in rows))
            # The preset's, where the slice gives none.
            assert max(Counter(row["word"] for row in rows).values()) == 10
    assert all(one == drawn[0] for one in drawn)
    entries = sliced.manifest["models"]
    assert [entries[model]["layers_available"] for model in sliced.models] == [2, 7]
    assert entries["one-layer-minilm"]["revision"] != entries["minilm"]["revision"]
    # The one is the other's first layer: its vectors, and so its concepts, must be the same.
    np.testing.assert_allclose(sliced.vectors("one-layer-minilm", 1), sliced.vectors("minilm", 1), rtol=1e-4, atol=1e-5)
    assert not np.allclose(sliced.vectors("minilm", 0), sliced.vectors("minilm", 1), atol=1e-2)
    for layer in (0, 1):
        one, other = (sliced.concepts(model, layer).to_pylist() for model in sliced.models)
        assert [row["words"] for row in one] == [row["words"] for row in other]


def test_the_manifest_and_the_card_say_which_preset_and_how_far(sliced: ConceptStore) -> None:
    tcn = load_preset("tcn")
    entry = json.loads((sliced.path / "manifest.json").read_text())["preset"]
    assert entry == {
        "name": "tcn",
        "version": tcn.version,
        "sha256": tcn.sha256,
        "description": tcn.description,
        "changed": ["corpus", "k", "layers", "min_count", "model"],
    }
    assert sliced.manifest["corpus"]["text"] == "referred"
    card = (sliced.path / "README.md").read_text()
    assert f"Preset `tcn` {tcn.version}, **not as it stands there**: other corpus, k, layers, min_count, model" in card
    assert "To make it again" not in card


def test_model_after_model_gives_the_bytes_of_one_run(
    sliced: ConceptStore, options: dict[str, Any], tmp_path: Path
) -> None:
    first, second = options["model"]
    build_preset("tcn", tmp_path / "store", **{**options, "model": first})
    begun = contents(tmp_path / "store")
    # Where there is no room for the vectors of all.
    shutil.rmtree(tmp_path / "store" / "vectors" / "one--layer--minilm")
    build_preset("tcn", tmp_path / "store", **{**options, "model": second})
    store = build_preset("tcn", tmp_path / "store", **options)
    whole = {path: content for path, content in contents(sliced.path).items() if "vectors/one--" not in path}
    assert contents(store.path) == whole
    assert store.manifest["preset"] == sliced.manifest["preset"]
    assert all("one--layer--minilm" in path or len(Path(path).parts) < 3 for path in begun)
    # A run with options of its own is no more that of a preset.
    build(**options | {"model": second, "max_count": 10, "max_sentences": 250_000, "text": "referred"}, out=store.path)
    assert "preset" not in ConceptStore.open(store.path).manifest


def test_a_preset_of_ones_own_is_taken_as_it_stands(news: str, one_layer_minilm: str, tmp_path: Path) -> None:
    preset = own(
        tmp_path,
        f'version = "0.3"\ndescription = "Mine."\ncorpus = "{news}"\nmodel = ["{one_layer_minilm}"]\n'
        f'layers = "1"\nk = {K}\nmax_sentences = 100\n',
    )
    store = build_preset(preset, tmp_path / "store")
    entry = store.manifest["preset"]
    assert (entry["name"], entry["version"], entry["changed"]) == ("mine", "0.3", [])
    assert "To make it again: `conceptbench build --preset mine" in (store.path / "README.md").read_text()
    assert store.manifest["corpus"]["sentences"] == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "not TOML"),
        ('version = "1"\ndescription = "d"\ncorpus = "c"\n', "`model`: must be given"),
        ('version = "1"\ndescription = "d"\ncorpus = "c"\nmodel = ["m"]\nlayer = 1\n', "no such option"),
        ('version = "1"\ndescription = "d"\ncorpus = "c"\nmodel = []\n', "--model"),
        ('version = "1"\ndescription = "d"\ncorpus = "c"\nmodel = ["m"]\nk = "many"\n', "-k many: "),
        ('version = "1"\ndescription = "d"\ncorpus = "c"\nmodel = ["m"]\ntext = "sold"\n', "--text sold: give one of"),
    ],
)
def test_a_wrong_file_is_told_by_its_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_preset(own(tmp_path, text))


def test_a_preset_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are reference, tcn"):
        load_preset("refrence")
    with pytest.raises(InputError, match="No such file"):
        load_preset(str(tmp_path / "gone.toml"))


def command(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `conceptbench` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "conceptbench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_options_on_the_command_line_go_before_those_of_the_preset(
    news: str, one_layer_minilm: str, tmp_path: Path
) -> None:
    preset = own(
        tmp_path,
        f'version = "1.0"\ndescription = "Mine."\ncorpus = "{news}"\nmodel = ["minilm"]\nlayers = "all"\nk = 500\n'
        "min_count = 3\nmax_count = 4\n",
    )
    # 600 is the default of -k without a preset; given, it counts.
    options = ("--preset", preset, "--model", one_layer_minilm, "-k", "600", "--out", "s", "--json")
    done = command("build", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [(row["model"], row["layer"], row["concepts"]) for row in shown["layers"]] == [
        ("one-layer-minilm", 0, 600),
        ("one-layer-minilm", 1, 600),
    ]
    assert (shown["corpus"]["min_count"], shown["corpus"]["max_count"]) == (3, 4)
    assert ConceptStore.open(tmp_path / "s").manifest["preset"]["changed"] == ["k", "model"]


def test_the_presets_are_listed(tmp_path: Path) -> None:
    shown = command("list", "presets", "--json", cwd=tmp_path)
    rows = {row["preset"]: row for row in json.loads(shown.stdout)}
    assert set(rows) == {"reference", "tcn"}
    assert rows["tcn"]["concepts"] == "39,000"
    assert rows["reference"]["concepts"] == "200 a layer"
