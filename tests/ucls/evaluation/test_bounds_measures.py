import numpy as np

from pipeline_lib.ucls.evaluation.bounds import label_free_bounds, readable_bounds, upper_bound_neighbor_measures

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


def test_the_table_has_a_line_for_what_ran_and_none_for_what_did_not():
    measures = {"kmeans_acc": 0.5, "kmeans_nmi": 0.6, "kmeans_ari": 0.7, "upper_bound_knn_acc": 0.9}
    lines = readable_bounds(measures).splitlines()
    assert [line.split()[-1] for line in lines] == ["ARI", "0.7000", "0.9000"]
    assert readable_bounds({"kmeans_silhouette": 0.25}).split() == ["kmeans_silhouette", "0.25"]
