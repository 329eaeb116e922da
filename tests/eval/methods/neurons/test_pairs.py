"""Super- and sub-concepts of small hierarchies that can be checked by eye."""

from dataclasses import replace

import numpy as np
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.builders.clustering import ward_tree
from conceptbench.eval.methods.neurons.pairs import ConceptPairs, label_pairs, lexicon_pairs, tree_pairs
from conceptbench.runtime.errors import InputError

# Five groups of two on a line: (A B) C joined at about 10, (D E) at about 8, all at about 100.
GROUPS = {"A": [0.0, 0.1], "B": [3.0, 3.1], "C": [10.0, 10.1], "D": [100.0, 100.1], "E": [108.0, 108.1]}
POINTS = np.array([point for points in GROUPS.values() for point in points])[:, None]


def as_names(pairs: ConceptPairs) -> dict[str, set[str]]:
    """Each sub-concept, with the parts of its super-concept."""
    return {
        pairs.names[sub]: {pairs.names[part] for part in pairs.supers[wider].parts}
        for wider, sub in pairs.pairs.tolist()
    }


def test_the_super_concept_of_a_tree_is_the_lowest_merge_with_enough_concepts() -> None:
    tree = ward_tree(POINTS)
    pairs = tree_pairs(tree.linkage, tree.cut(5), list(GROUPS))
    assert as_names(pairs) == {"A": set("AB"), "B": set("AB"), "C": set("ABC"), "D": set("DE"), "E": set("DE")}
    assert pairs.depths.tolist() == [3, 3, 2, 2, 2]
    assert [rows.tolist() for rows in pairs.tokens] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    three = tree_pairs(tree.linkage, tree.cut(5), list(GROUPS), least=3)
    assert as_names(three) == {"A": set("ABC"), "B": set("ABC"), "C": set("ABC"), "D": set("ABCDE"), "E": set("ABCDE")}
    narrow = tree_pairs(tree.linkage, tree.cut(5), list(GROUPS), least=3, most=4)
    assert as_names(narrow) == {"A": set("ABC"), "B": set("ABC"), "C": set("ABC")}


def test_super_concepts_that_share_a_part_are_of_one_family() -> None:
    tree = ward_tree(POINTS)
    pairs = tree_pairs(tree.linkage, tree.cut(5), list(GROUPS))
    supers, concepts = pairs.families
    assert concepts[0] == concepts[1] == concepts[2] != concepts[3] == concepts[4]
    assert [supers[wider] for wider, _ in pairs.pairs] == [concepts[sub] for _, sub in pairs.pairs]
    alone = replace(pairs, supers=(), pairs=pairs.pairs[:0])
    assert len(set(alone.families[1].tolist())) == 5


def test_a_cut_that_is_numbered_otherwise_is_still_a_cut() -> None:
    tree = ward_tree(POINTS)
    names = ["E", "D", "C", "B", "A"]
    pairs = tree_pairs(tree.linkage, 4 - tree.cut(5), names)
    assert as_names(pairs)["C"] == set("ABC")
    assert pairs.depths.tolist() == [2, 2, 2, 3, 3]
    assert pairs.tokens[4].tolist() == [0, 1]


def test_each_token_may_be_a_concept_of_its_own() -> None:
    tree = ward_tree(POINTS)
    pairs = tree_pairs(tree.linkage, np.arange(10))
    assert as_names(pairs)["0"] == {"0", "1"}
    assert pairs.depths.tolist() == [4, 4, 4, 4, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1] * 5, {}, "not the cut of this tree into 2"),
        ([0] * 9, {}, "10 vectors and labels"),
        ([0] * 10, {}, "All vectors have the label 0"),
        ([0] * 6 + [1] * 4, {"least": 1}, "at least 2"),
        ([0] * 6 + [1] * 4, {"least": 5, "most": 4}, "least=5, most=4"),
        ([0] * 6 + [1] * 4, {"names": ["a"]}, "2 concepts and 1 names"),
    ],
)
def test_labels_that_do_not_fit_the_tree(labels: list[int], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tree_pairs(ward_tree(POINTS).linkage, labels, **options)


def test_a_tree_of_another_shape() -> None:
    with pytest.raises(InputError, match="must be of shape"):
        tree_pairs(np.zeros((4, 3)), [0, 1, 0, 1, 0])


def test_gold_concepts_have_the_tokens_of_their_descendants() -> None:
    model = next(iter(load_lexicon().values()))
    known = {
        name: replace(model, id=name, parent=parent)
        for name, parent in [("food", None), ("fruit", "food"), ("citrus", "fruit"), ("fish", "food"), ("cars", None)]
    }
    pairs = lexicon_pairs({"fruit": [4, 2], "citrus": [7], "cars": [2, 9], "food": [1]}, known)
    assert pairs.names == ("food", "fruit", "citrus", "cars")
    assert [rows.tolist() for rows in pairs.tokens] == [[1, 2, 4, 7], [2, 4, 7], [7], [2, 9]]
    assert pairs.depths.tolist() == [0, 1, 2, 0]
    assert as_names(pairs) == {"fruit": {"food", "fruit", "citrus"}, "citrus": {"fruit", "citrus"}}
    assert [wider.name for wider in pairs.supers] == ["food", "fruit"]
    with pytest.raises(InputError, match="no concept 'nothing'"):
        lexicon_pairs({"nothing": [1]}, known)


def test_the_packaged_lexicon_has_pairs() -> None:
    known = load_lexicon()
    pairs = lexicon_pairs({name: [i] for i, name in enumerate(known)})
    assert len(pairs.pairs) == sum(concept.parent is not None for concept in known.values())
    for wider, sub in pairs.pairs.tolist():
        assert known[pairs.names[sub]].parent == pairs.supers[wider].name


def test_labels_within_labels() -> None:
    labels = ["Verbs", "past tense verbs", "Past-tense verbs.", "adverbs", None, "modal verbs", "names", "names ", ""]
    pairs = label_pairs(np.arange(9), labels, [f"C{i}" for i in range(9)])
    verbs, past, names = {"C0", "C1", "C2", "C5"}, {"C1", "C2"}, {"C6", "C7"}
    assert as_names(pairs) == {"C0": verbs, "C1": past, "C2": past, "C5": verbs, "C6": names, "C7": names}
    assert [wider.name for wider in pairs.supers] == ["names", "past tense verbs", "verbs"]
    assert "C0" not in as_names(label_pairs(np.arange(9), labels, [f"C{i}" for i in range(9)], most=3))
    with pytest.raises(InputError, match="9 clusters and 2 labels"):
        label_pairs(np.arange(9), labels[:2])
