"""Word vectors of every layer: each against the one computed sentence by sentence, unpadded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.benchmark.store import write_table
from conceptbench.builders.vectors import Alignment, align_tokens, vector_file, write_vectors
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.models import Pooling

TEXTS = [
    "The unforgettable storm of 1998 , they said , was n't over .",
    "Stop !",
    "Naïve café-owners in Zürich re-opened 3,000 shops ; nobody 's counting .",
    "He ran .",
    "Among the antidisestablishmentarianists ' leaders , twenty-two spoke at length about it all yesterday evening .",
]
SMALL = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<cls>", "<sep>"]


def train(kind: str) -> Tokenizer:
    """Train a small tokenizer of the kind that a family of models uses."""
    texts = TEXTS * 3
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=130, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def frame(tokenizer: Tokenizer, template: str) -> Tokenizer:
    """Put the family's special tokens around a sentence."""
    pairs = [(token, tokenizer.token_to_id(token)) for token in SPECIAL]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)
    return tokenizer


def bert() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.BertConfig(vocab_size=200, max_position_embeddings=96, **SMALL)
    return transformers.BertModel(config), frame(train("wordpiece"), "<cls> $A <sep>"), {}


def roberta() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.RobertaConfig(vocab_size=400, max_position_embeddings=98, pad_token_id=3, **SMALL)
    return transformers.RobertaModel(config), frame(train("bytes"), "<s> $A </s>"), {}


def xlnet() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.XLNetConfig(vocab_size=200, d_model=24, n_layer=3, n_head=4, d_inner=32)
    tokenizer = frame(train("unigram"), "$A:0 <sep>:0 <cls>:2")
    return transformers.XLNetModel(config), tokenizer, {"bos_token": "<s>", "padding_side": "left"}


def albert() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.AlbertConfig(vocab_size=200, embedding_size=12, max_position_embeddings=96, **SMALL)
    return transformers.AlbertModel(config), frame(train("unigram"), "<cls> $A <sep>"), {}


def xlm_roberta() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.XLMRobertaConfig(vocab_size=200, max_position_embeddings=98, pad_token_id=3, **SMALL)
    return transformers.XLMRobertaModel(config), frame(train("unigram"), "<s> $A </s>"), {}


def llama() -> tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]:
    config = transformers.LlamaConfig(vocab_size=400, max_position_embeddings=96, num_key_value_heads=2, **SMALL)
    return transformers.LlamaModel(config), train("bytes"), {"bos_token": "<s>"}


FAMILIES = [bert, roberta, xlnet, albert, xlm_roberta, llama]


@pytest.fixture(params=FAMILIES, ids=lambda make: make.__name__)
def model_folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A small random model of one of the families, saved with its tokenizer."""
    torch.manual_seed(0)
    return save(request.param, tmp_path / "model")


def save(make: Callable[[], tuple[transformers.PreTrainedModel, Tokenizer, dict[str, str]]], folder: Path) -> str:
    model, tokenizer, options = make()
    # Weights as large as trained ones: small ones would hide what padding or a wrong sub-word does.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5.0)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", **options
    ).save_pretrained(folder)
    return str(folder)


def corpus(folder: Path, texts: list[str]) -> tuple[Path, Path, list[tuple[int, int]]]:
    """Write sentences and all of their words as chosen tokens."""
    places = [(i, j) for i, text in enumerate(texts) for j in range(len(text.split(" ")))]
    words = [texts[i].split(" ")[j] for i, j in places]
    write_table(folder / "s.parquet", SENTENCES, {"sentence": range(len(texts)), "text": texts})
    write_table(
        folder / "t.parquet",
        TOKENS,
        {"word": words, "sentence": [i for i, _ in places], "position": [j for _, j in places]},
    )
    return folder / "s.parquet", folder / "t.parquet", places


def encode(encoder: WordEncoder, folder: Path, texts: list[str]) -> tuple[Alignment, list[dict], list[np.ndarray]]:
    """Run both stages over all words of some texts; give the kept tokens and the vectors of every layer."""
    sentences_file, tokens_file, _ = corpus(folder, texts)
    layers = range(encoder.layers)
    with Journal(folder / "journal.sqlite") as journal:
        alignment = align_tokens(sentences_file, tokens_file, encoder, folder / "kept.parquet")
        write_vectors(sentences_file, folder / "kept.parquet", encoder, layers, folder / "v", journal)
    arrays = [np.load(vector_file(folder / "v", layer)) for layer in layers]
    return alignment, pq.read_table(folder / "kept.parquet").to_pylist(), arrays


def one_by_one(folder: str, text: str, pooling: Pooling, bos: str | None) -> list[np.ndarray]:
    """The words' vectors of one sentence, shape (words, width) a layer: by hand, no padding, no batch."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    shift = 0 if bos is None else len(bos)
    encoded = tokenizer((bos or "") + text, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        states = model(**encoded, output_hidden_states=True).hidden_states
    result: list[list[np.ndarray]] = [[] for _ in states]
    start = shift
    for word in text.split(" "):
        end = start + len(word)
        # A sub-word belongs to the word in which it ends; one that covers only a space belongs to none.
        own = [i for i, (low, high) in enumerate(offsets) if start < high <= end and high > low]
        for rows, state in zip(result, states, strict=True):
            pieces = state[0, own].numpy()
            rows.append({"last": pieces[-1], "first": pieces[0], "mean": pieces.mean(axis=0)}[pooling])
        start = end + 1
    return [np.stack(rows) for rows in result]


@pytest.mark.parametrize("pooling", ["last", "first", "mean"])
def test_every_vector_is_that_of_its_sentence_alone(model_folder: str, tmp_path: Path, pooling: Pooling) -> None:
    encoder = WordEncoder(model_folder, pooling=pooling)
    alignment, kept, arrays = encode(encoder, tmp_path, TEXTS)
    assert (alignment.cut, alignment.unseen) == (0, 0)
    assert len(arrays) == 4
    bos = "<s>" if encoder.adds_bos else None
    expected = [one_by_one(model_folder, text, pooling, bos) for text in TEXTS]
    for layer, vectors in enumerate(arrays):
        wanted = np.concatenate([words[layer] for words in expected])
        assert vectors.shape == wanted.shape == (len(kept), 24)
        np.testing.assert_allclose(vectors, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
        assert np.ptp(wanted, axis=0).max() > 0.1


def test_only_the_decoder_is_given_a_first_token(tmp_path: Path) -> None:
    adds = {make.__name__: WordEncoder(save(make, tmp_path / make.__name__)).adds_bos for make in FAMILIES}
    assert adds == {make.__name__: make is llama for make in FAMILIES}


def test_real_encoder_against_sentence_by_sentence(tmp_path: Path) -> None:
    encoder = WordEncoder("minilm")
    _, kept, arrays = encode(encoder, tmp_path, TEXTS)
    assert (encoder.layers, encoder.width) == (7, 384)
    from conceptbench.runtime.models import model_folder as folder_of

    expected = [one_by_one(folder_of("minilm"), text, "last", None) for text in TEXTS]
    for layer, vectors in enumerate(arrays):
        np.testing.assert_allclose(vectors, np.concatenate([words[layer] for words in expected]), rtol=1e-3, atol=2e-5)
    assert [row["word"] for row in kept] == " ".join(TEXTS).split(" ")


@pytest.mark.slow
def test_real_decoder_against_sentence_by_sentence(tmp_path: Path, smollm2_folder: str) -> None:
    encoder = WordEncoder("smollm2")
    _, _, arrays = encode(encoder, tmp_path, TEXTS)
    assert (encoder.layers, encoder.width, encoder.adds_bos) == (31, 576, True)
    expected = [one_by_one(smollm2_folder, text, "last", "<|im_start|>") for text in TEXTS]
    for layer, vectors in enumerate(arrays):
        wanted = np.concatenate([words[layer] for words in expected])
        np.testing.assert_allclose(vectors, wanted, rtol=1e-2, atol=1e-3 * np.abs(wanted).max())
    # The attention sink is on the added token: no word's vector is as large as one would be.
    norms = np.linalg.norm(arrays[15], axis=1)
    assert norms.max() < 5 * np.median(norms)


def test_what_the_maximum_length_cuts_is_counted(model_folder: str, tmp_path: Path) -> None:
    encoder = WordEncoder(model_folder, max_length=12)
    alignment, kept, arrays = encode(encoder, tmp_path, TEXTS)
    whole, all_words, full = encode(WordEncoder(model_folder), tmp_path / "full", TEXTS)
    assert alignment.cut > 10
    assert alignment.kept + alignment.cut == whole.kept == len(all_words)
    assert len(kept) == alignment.kept == len(arrays[0])
    # What is kept is the beginning of each sentence: words whole, none of them half cut.
    first = [row["position"] for row in kept if row["sentence"] == 0]
    assert first == list(range(len(first)))
    # The embedding layer knows no context, so a kept word has the vector that it has in the whole sentence.
    rows = [all_words.index(row) for row in kept]
    np.testing.assert_allclose(arrays[0], full[0][rows], rtol=1e-3, atol=1e-3)


def test_a_model_is_never_given_more_than_it_can_take(tmp_path: Path) -> None:
    long = [" ".join(["word"] * 300)]
    for make in (bert, roberta):
        folder = save(make, tmp_path / make.__name__)
        encoder = WordEncoder(folder)
        assert encoder.max_length == (96 if make is bert else 94)
        alignment, _, _ = encode(encoder, tmp_path / make.__name__, long)
        assert alignment.kept > 5
        assert alignment.cut == 300 - alignment.kept


def test_words_that_the_tokenizer_drops_are_counted(tmp_path: Path) -> None:
    folder = save(bert, tmp_path / "model")
    alignment, kept, _ = encode(WordEncoder(folder), tmp_path, ["He \u200b\ufffd ran \x07 ."])
    assert [row["word"] for row in kept] == ["He", "ran", "."]
    assert alignment.unseen == 2


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{TEXTS[i % 5]} And {i} more ." for i in range(1200)]
    folder = save(bert, tmp_path / "model")
    encode(WordEncoder(folder), tmp_path / "whole", texts)

    sentences_file, tokens_file, _ = corpus(tmp_path, texts)
    encoder = WordEncoder(folder)
    align_tokens(sentences_file, tokens_file, encoder, tmp_path / "kept.parquet")
    calls = 0
    original = encoder.vectors

    def dying(*arguments: object) -> list[np.ndarray]:
        nonlocal calls
        calls += 1
        if calls % 12 == 0:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "vectors", dying)
    stops = 0
    with Journal(tmp_path / "journal.sqlite") as journal:
        while not vector_file(tmp_path / "v", 3).exists():
            try:
                write_vectors(sentences_file, tmp_path / "kept.parquet", encoder, [1, 3], tmp_path / "v", journal)
            except KeyboardInterrupt:
                stops += 1
    assert stops >= 1
    for layer in (1, 3):
        whole = vector_file(tmp_path / "whole" / "v", layer).read_bytes()
        assert vector_file(tmp_path / "v", layer).read_bytes() == whole
    assert not list((tmp_path / "v").glob("journal*"))


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder = save(bert, tmp_path / "model")
    model = transformers.AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    with pytest.raises(ConceptBenchError, match="not finite"):
        encode(WordEncoder(folder), tmp_path, TEXTS)


@pytest.mark.parametrize(
    ("model", "message"),
    [("org/no-such-model", "cannot be loaded"), ("./no-such-folder", "does not exist|no-such-folder")],
)
def test_a_model_that_is_not_there_is_named(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WordEncoder(model)
