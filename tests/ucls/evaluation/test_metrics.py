import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from pipeline_lib.base.contingency import normalised_mutual_information
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.matching import contingency_table
from pipeline_lib.ucls.evaluation.metrics import (
    adjusted_rand_index,
    clustering_metrics,
)


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_golden_cases(golden, size):
    arrays = golden(f"09_metrics_{size}")
    cases = [name.removesuffix("__y_true") for name in arrays if name.endswith("__y_true")]
    assert len(cases) >= 9
    for case in cases:
        true, predicted = arrays[f"{case}__y_true"], arrays[f"{case}__y_pred"]
        got = clustering_metrics(true, predicted)
        geometric = normalised_mutual_information(contingency_table(true, predicted).counts, "geometric")
        expected = arrays[f"{case}__out_acc_nmi_nmigeo_ari"]
        np.testing.assert_allclose([got.acc, got.nmi, geometric, got.ari], expected, rtol=0, atol=1e-9, err_msg=case)


def test_renaming_clusters_and_shuffling_samples_change_nothing():
    rng = np.random.default_rng(0)
    true = rng.integers(7, size=300)
    predicted = np.where(rng.random(300) < 0.6, true, rng.integers(9, size=300))
    names = rng.permutation(10**6)[:9] - 500
    order = rng.permutation(300)
    before = clustering_metrics(true, predicted).as_dict()
    after = clustering_metrics(true[order], names[predicted][order]).as_dict()
    assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn_on_random_labels(seed):
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(2 + seed, size=500), rng.integers(11 - seed, size=500)
    got = clustering_metrics(true, predicted)
    assert got.nmi == pytest.approx(normalized_mutual_info_score(true, predicted), abs=1e-12)
    assert got.ari == pytest.approx(adjusted_rand_score(true, predicted), abs=1e-12)


def test_rand_index_of_many_samples_does_not_overflow():
    true = np.repeat(np.arange(10), 120_000)
    swapped = true.copy()
    swapped[::120_000] = 5
    table = contingency_table(true, swapped)
    exact = adjusted_rand_score(true, swapped)
    assert adjusted_rand_index(table) == pytest.approx(exact, abs=1e-9)


def test_samples_of_unknown_class_are_left_out():
    true = np.array([0, -1, 1, -1, 1])
    predicted = np.array([5, 5, 6, 7, 6])
    got = clustering_metrics(true, predicted)
    assert (got.acc, got.samples, got.classes, got.clusters) == (1.0, 3, 2, 2)


@pytest.mark.parametrize("true", [np.array([-1, -1]), np.array([0, 1, 2]), np.array([0.0, 1.0])])
def test_unusable_classes_are_refused_in_one_line(true):
    with pytest.raises(UserError) as error:
        clustering_metrics(true, np.array([0, 1]))
    assert "\n" not in str(error.value)
