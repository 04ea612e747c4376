import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.bounds import (
    label_free_bounds,
    readable_bounds,
    upper_bound_class_measures,
    upper_bound_neighbor_measures,
)

LABELS = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
MERGED = np.array([0, 0, 0, 0, 1, 1], dtype=np.int32)


def test_label_free_measures_of_a_hand_made_case():
    shares = np.array([2 / 3, 1 / 3])
    divergence = round(float(np.log(3) + (shares * np.log(shares)).sum()), 4)
    assert label_free_bounds({"kmeans": LABELS, "turtle": MERGED}, 3, {"kmeans": 0.51239, "turtle": None}) == {
        "kmeans_silhouette": 0.5124,
        "kmeans_kl_to_uniform": 0.0,
        "kmeans_empty_clusters": 0,
        "turtle_kl_to_uniform": divergence,
        "turtle_empty_clusters": 1,
    }


def test_true_neighbour_measures_are_of_the_best_head_and_of_all():
    heads = np.stack([MERGED, LABELS[::-1], np.zeros(6, np.int32)])
    measures = upper_bound_neighbor_measures(heads, 1, LABELS)
    prefix = "upper_bound_neighbors_best_head_"
    assert {name: measures[f"{prefix}{name}"] for name in ("acc", "nmi", "ari")} == {"acc": 1.0, "nmi": 1.0, "ari": 1.0}
    assert measures["upper_bound_neighbors_mean_acc"] == round((4 / 6 + 1 + 2 / 6) / 3, 4)


def test_classifiers_are_scored_without_matching_on_images_of_known_class():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 5, 400).astype(np.int32)
    found = np.where(rng.random(400) < 0.7, labels, rng.integers(0, 5, 400)).astype(np.int32)
    swapped = np.array([1, 0, 2, 3, 4], dtype=np.int32)[found]
    measures = upper_bound_class_measures({"a": found, "b": swapped}, labels)
    known = labels >= 0
    for name, predicted in (("a", found), ("b", swapped)):
        assert measures[f"{name}_acc"] == pytest.approx((predicted == labels)[known].mean(), abs=1e-4)
        for measure, naive in (("nmi", normalized_mutual_info_score), ("ari", adjusted_rand_score)):
            assert measures[f"{name}_{measure}"] == pytest.approx(naive(labels[known], predicted[known]), abs=1e-4)
    # Two exchanged classes cost a classifier's accuracy; matching would undo it, and NMI does not see it.
    assert measures["b_acc"] < measures["a_acc"] - 0.2
    assert measures["b_nmi"] == measures["a_nmi"]
    with pytest.raises(UserError, match="known class"):
        upper_bound_class_measures({"a": found}, np.full_like(labels, -1))


def test_the_table_has_a_line_for_what_ran_and_none_for_what_did_not():
    measures = {"kmeans_acc": 0.5, "kmeans_nmi": 0.6, "kmeans_ari": 0.7}
    measures |= {"upper_bound_knn_acc": 0.9, "upper_bound_knn_nmi": 0.8, "upper_bound_knn_ari": 0.65}
    lines = readable_bounds(measures | {"upper_bound_neighbors_mean_acc": 0.95}).splitlines()
    assert [line.split()[-1] for line in lines] == ["ARI", "0.7000", "0.6500", "0.9500"]
    assert readable_bounds({"kmeans_silhouette": 0.25}).split() == ["kmeans_silhouette", "0.25"]
