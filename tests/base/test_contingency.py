import json

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from pipeline_lib.base import contingency as module
from pipeline_lib.base.contingency import (
    average_nmi,
    contingency,
    entropy,
    matched_pairs,
    mutual_information,
    normalised_mutual_information,
)
from pipeline_lib.base.errors import UserError


def test_contingency_counts_pairs():
    table = contingency(np.array([0, 1, 1, 2], dtype=np.int16), np.array([1, 0, 0, 1], dtype=np.int8), 3, 2)
    assert table.tolist() == [[0, 1], [2, 0], [0, 1]]


def test_contingency_does_not_depend_on_row_blocks(monkeypatch):
    first, second = np.random.default_rng(1).integers(9, size=(2, 100))
    whole = contingency(first, second, 9, 9)
    monkeypatch.setattr(module, "_BLOCK_ROWS", 7)
    np.testing.assert_array_equal(contingency(first, second, 9, 9), whole)


def test_entropy_of_even_groups_is_the_logarithm_of_their_number():
    assert entropy(np.array([3, 3, 0, 3])) == pytest.approx(np.log(3), abs=1e-15)
    assert entropy(np.array([0, 7])) == 0.0


def test_mutual_information_equals_scikit_learn():
    generator = np.random.default_rng(2)
    first, second = generator.integers(4, size=60), generator.integers(6, size=60)
    expected = mutual_info_score(first, second)
    assert mutual_information(contingency(first, second, 4, 6)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", ["tiny", "medium"])
def test_average_nmi_equals_the_reference(golden, golden_dir, case):
    reference = golden(f"08_consensus_{case}")
    scores = json.loads((golden_dir / "08_consensus_scores.json").read_text())[case]
    compared = 0
    for name, expected in scores.items():
        labels = reference["out_planted"] if name == "planted" else reference.get(f"out_{name}")
        if labels is None:
            continue
        for mean in ("geometric", "arithmetic"):
            found = average_nmi(labels, reference["in_labels"], mean)
            assert found == pytest.approx(expected[f"anmi_{mean}"], abs=1e-12)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_nmi_equals_scikit_learn(mean):
    generator = np.random.default_rng(0)
    first, second = generator.integers(5, size=80), generator.integers(7, size=80)
    second[:40] = first[:40]
    expected = normalized_mutual_info_score(first, second, average_method=mean)
    assert normalised_mutual_information(contingency(first, second, 5, 7), mean) == pytest.approx(expected, abs=1e-12)


def test_trivial_labellings():
    assert normalised_mutual_information(np.array([[3, 4]]), "geometric") == 0.0
    assert normalised_mutual_information(np.array([[7]]), "geometric") == 1.0
    assert normalised_mutual_information(np.array([[0, 7], [0, 0]]), "geometric") == 1.0


def test_matching_is_the_best_one_to_one_and_leaves_out_pairs_without_samples():
    rows, columns = matched_pairs(np.array([[5, 4], [5, 0]]))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]
    rows, columns = matched_pairs(np.array([[5, 1], [3, 0]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@pytest.mark.parametrize(
    ("labels", "heads", "word"),
    [
        (np.zeros(3, int), np.zeros((2, 4), int), "4 images"),
        (np.zeros(4, int), np.zeros(4, int), "heads, images"),
        (np.zeros(4, int), np.zeros((2, 4)), "integer"),
        (np.full(4, -1), np.zeros((2, 4), int), "negative"),
        (np.zeros(4, int), np.full((2, 4), -1), "negative"),
    ],
)
def test_unusable_labellings_are_refused_in_one_line(labels, heads, word):
    with pytest.raises(UserError, match=word) as error:
        average_nmi(labels, heads)
    assert "\n" not in str(error.value)
