"""Alignment by its definition, token by token, and on vectors in which what is shared was planted."""

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from conceptbench.eval.methods.neurons.alignment import Alignment, align
from conceptbench.eval.methods.neurons.pairs import ConceptPairs, SuperConcept, label_pairs
from conceptbench.runtime.errors import InputError

WIDTH = 100
EACH = 12


def families_of(count: int, size: int) -> tuple[np.ndarray, ConceptPairs]:
    """Labels of tokens, and pairs: `count` super-concepts of `size` concepts of EACH tokens, in order."""
    labels = np.repeat(np.arange(count * size), EACH)
    return labels, label_pairs(labels, [f"family {chr(97 + i // size) * (1 + i // size)}" for i in range(count * size)])


def planted(count: int, size: int, shared: float, private: float, seed: int = 0) -> tuple[np.ndarray, ConceptPairs]:
    """Vectors whose concepts move ten neurons of their family by `shared` and ten others by `private`."""
    generator = np.random.default_rng(seed)
    labels, pairs = families_of(count, size)
    vectors = generator.normal(size=(len(labels), WIDTH))
    for family in range(count):
        neurons = generator.choice(WIDTH, 10, replace=False)
        vectors[np.ix_(labels // size == family, neurons)] += shared * generator.choice([-1, 1], 10)
    for concept in range(count * size):
        neurons = generator.choice(WIDTH, 10, replace=False)
        vectors[np.ix_(labels == concept, neurons)] += private * generator.choice([-1, 1], 10)
    return vectors, pairs


def score_by_definition(tokens: list[int], others: list[list[int]], vectors: np.ndarray) -> np.ndarray:
    mean = vectors[tokens].mean(axis=0)
    return sum(np.abs(mean - vectors[rows].mean(axis=0)) for rows in others)


def overlap_by_definition(first: np.ndarray, second: np.ndarray, count: int) -> float:
    return len(set(np.argsort(-first)[:count]) & set(np.argsort(-second)[:count])) / count


@pytest.mark.parametrize("overlapping", [False, True])
def test_it_is_what_the_definition_says(overlapping: bool) -> None:
    vectors, pairs = planted(5, 3, shared=0.6, private=0.8)
    vectors *= np.random.default_rng(1).gamma(1, size=WIDTH)
    tokens = [rows.tolist() for rows in pairs.tokens]
    generator = np.random.default_rng(2)
    tokens = [rows[: generator.integers(3, 13)] for rows in tokens]
    if overlapping:
        tokens[0] += tokens[1][:3] + tokens[7][:2]
    depths = generator.integers(1, 5, size=15).astype(float)
    pairs = replace(pairs, tokens=tuple(np.array(rows) for rows in tokens), depths=depths)
    sizes = np.log([len(rows) for rows in tokens])
    traits = np.column_stack([sizes / sizes.std(), depths / depths.std()])
    result = align(vectors, pairs, controls=4, curve=(0.2,))
    families, _ = pairs.families
    for scaling, points in (("raw", vectors), ("zscored", vectors / vectors.std(axis=0))):
        for (wider, sub), pair in zip(pairs.pairs.tolist(), result[scaling].pairs, strict=True):
            whole = {token for part in pairs.supers[wider].parts for token in tokens[part]}
            rest = sorted(whole - set(tokens[sub]))
            strangers = [c for c in range(15) if not whole & set(tokens[c])]
            eligible = [c for c in strangers if pairs.families[1][c] != families[wider]]
            eligible = sorted(eligible, key=lambda c, sub=sub: round(np.linalg.norm(traits[c] - traits[sub]), 9))
            shares_of = {}
            for candidate in [sub, *eligible[:4]]:
                scores = score_by_definition(rest, [tokens[c] for c in strangers if c != candidate], points)
                others = [tokens[c] for c in range(15) if not set(tokens[c]) & set(tokens[candidate])]
                shares_of[candidate] = [
                    overlap_by_definition(scores, score_by_definition(tokens[candidate], others, points), count)
                    for count in (10, 20)
                ]
            alignment, *null = shares_of.values()
            assert (pair.alignment, pair.controls) == (pytest.approx(alignment[0]), 4)
            assert pair.curve == pytest.approx(alignment)
            assert pair.null_curve == pytest.approx(np.mean(null, axis=0))
            assert pair.p == pytest.approx((1 + sum(shares[0] >= alignment[0] for shares in null)) / 5)


def test_children_that_share_their_parents_neurons_are_found() -> None:
    vectors, pairs = planted(25, 4, shared=2.0, private=0.5)
    for result in align(vectors, pairs).values():
        metrics = result.metrics
        assert metrics["alignment"].value > 0.8
        assert metrics["null"].value < 0.2
        assert metrics["difference"].low > 0.5
        assert metrics["significant"].value > 0.9
        assert metrics["alignment"].n == len(result.pairs) == 100
        assert result.left_out == 0
        assert result.curve[0.1]["alignment"] == metrics["alignment"]
        p = [pair.p for pair in result.pairs]
        assert [pair.p_fdr for pair in result.pairs] == pytest.approx(multipletests(p, method="fdr_bh")[1])
        assert [pair.p_holm for pair in result.pairs] == pytest.approx(multipletests(p, method="holm")[1])


def strangers_in_pairs(scale: np.ndarray, seeds: range) -> list[Alignment]:
    """The raw alignment of 'families' that have nothing in common but their name."""
    return [
        align(planted(25, 4, shared=0.0, private=1.0, seed=seed)[0] * scale, families_of(25, 4)[1], controls=96)["raw"]
        for seed in seeds
    ]


def test_of_unrelated_concepts_one_in_twenty_is_below_five_percent() -> None:
    pairs = [result.pairs for result in strangers_in_pairs(np.ones(WIDTH), range(5))]
    p = np.array([[pair.p for pair in of_run] for of_run in pairs])
    # Overlaps are tenths, so many controls tie with the pair and p is larger than uniform, never smaller.
    assert 0.01 < (p <= 0.05).mean() < 0.07
    assert (p <= 0.2).mean() < 0.23
    assert (p <= 0.5).mean() > 0.2
    fdr = np.array([[pair.p_fdr for pair in of_run] for of_run in pairs])
    assert (fdr <= 0.05).any(axis=1).sum() <= 1


def test_neurons_that_are_large_everywhere_raise_the_null_too() -> None:
    scale = np.random.default_rng(0).lognormal(sigma=1, size=WIDTH)
    vectors, pairs = planted(25, 4, shared=0.0, private=1.0)
    result = align(vectors * scale, pairs)
    raw, zscored = result["raw"].metrics, result["zscored"].metrics
    assert raw["alignment"].value > 0.5
    assert abs(raw["difference"].value) < 0.03
    assert raw["significant"].value == 0.0
    assert zscored["alignment"].value < 0.2
    plain = align(vectors, pairs)["zscored"]
    assert zscored["alignment"].value == pytest.approx(plain.metrics["alignment"].value, abs=1e-9)


def test_the_childs_tokens_are_not_in_its_super_concept() -> None:
    generator = np.random.default_rng(0)
    labels, pairs = families_of(20, 2)
    # Each concept is at another point: a super-concept with its child's tokens would lean to the child.
    vectors = (3 * generator.normal(size=(40, WIDTH)))[labels] + generator.normal(size=(len(labels), WIDTH))
    result = align(vectors, pairs)["raw"]
    assert result.metrics["difference"].low < 0 < result.metrics["difference"].high


def test_the_same_input_gives_the_same_result() -> None:
    vectors, pairs = planted(6, 3, shared=1.0, private=1.0)
    assert align(vectors, pairs) == align(vectors, pairs)
    assert align(vectors.astype(np.float32), pairs)["raw"].metrics["null"].n == 18


def test_pairs_that_cannot_be_compared_are_counted() -> None:
    vectors, pairs = planted(3, 3, shared=1.0, private=1.0)
    alone = SuperConcept("alone", np.array([0]))
    everything = SuperConcept("everything", np.arange(9))
    more = replace(pairs, supers=(*pairs.supers, alone), pairs=np.vstack([pairs.pairs, [3, 0]]))
    result = align(vectors, more)["raw"]
    assert result.left_out == 1
    assert len(result.pairs) == 9
    with pytest.raises(InputError, match="No pair"):
        align(vectors, replace(pairs, supers=(everything,), pairs=np.array([[0, 0]])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, "above 0 and at most 1"),
        ({"fraction": 1.5}, "above 0 and at most 1"),
        ({"curve": (0.1, -1)}, "above 0 and at most 1"),
        ({"controls": 0}, "at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    vectors, pairs = planted(3, 3, shared=1.0, private=1.0)
    with pytest.raises(InputError, match=message):
        align(vectors, pairs, **options)


def test_vectors_and_pairs_that_do_not_fit() -> None:
    vectors, pairs = planted(3, 3, shared=1.0, private=1.0)
    with pytest.raises(InputError, match="a token 107, and there are 50"):
        align(vectors[:50], pairs)
    with pytest.raises(InputError, match="No pair"):
        align(vectors, replace(pairs, supers=(), pairs=pairs.pairs[:0]))
    with pytest.raises(InputError, match="'4' has no token"):
        align(vectors, replace(pairs, tokens=(*pairs.tokens[:4], np.array([], dtype=int), *pairs.tokens[5:])))
    with pytest.raises(InputError, match="row 3 holds"):
        align(np.where(np.arange(108)[:, None] == 3, np.nan, vectors), pairs)
