import math
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from pipeline_lib.ucls.evaluation.summary import (
    Clusterings,
    label_free_measures,
    labelled_measures,
    oracle_self_trained_measures,
    readable_table,
    rounded,
)

MEASURES = ("acc", "nmi", "ari")

LABELS = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
ONE = np.zeros(6, dtype=np.int32)
# Classes by another name; classes 0 and 1 together.
RENAMED = np.array([2, 2, 0, 0, 1, 1], dtype=np.int32)
MERGED = np.array([0, 0, 0, 0, 1, 1], dtype=np.int32)


def clusterings(**changes):
    parts = {
        "heads": np.stack([LABELS, ONE]),
        "best_head": 1,
        "ensemble": RENAMED,
        "self_trained": MERGED,
        "self_trained_grid": np.stack([ONE, MERGED]),
        "classes": 3,
    }
    return Clusterings(**(parts | changes))


def test_single_labellings_have_the_names_of_the_report():
    single = clusterings(best_head=0).single()
    assert list(single) == ["best_head", "ensemble", "self_trained"]
    np.testing.assert_array_equal(single["best_head"], LABELS)
    np.testing.assert_array_equal(single["ensemble"], RENAMED)


def test_balanced_accuracy_shows_what_a_small_class_costs():
    labels = np.array([0] * 8 + [1] * 2, dtype=np.int32)
    merged = np.zeros(10, dtype=np.int32)
    found = clusterings(
        heads=labels[None], best_head=0, ensemble=labels, self_trained=merged, self_trained_grid=merged[None], classes=2
    )
    measures = labelled_measures(found, labels)
    assert (measures["self_trained_acc"], measures["self_trained_balanced_acc"]) == (0.8, 0.5)
    assert measures["ensemble_balanced_acc"] == 1.0


def test_labelled_measures_of_a_hand_made_case():
    # MERGED: H(class) = ln 3, H(cluster) = ln 3 - 2/3 ln 2 = mutual information. Pairs: of 15, 3 are in one class, 7 in
    # one cluster, 3 in both; expected by chance 3 * 7 / 15 = 1.4, so ARI = (3 - 1.4) / (5 - 1.4).
    information = math.log(3) - 2 / 3 * math.log(2)
    merged_nmi = round(2 * information / (math.log(3) + information), 4)
    assert labelled_measures(clusterings(), LABELS) == {
        "best_head_acc": 0.3333,
        "best_head_nmi": 0.0,
        "best_head_ari": 0.0,
        "ensemble_acc": 1.0,
        "ensemble_nmi": 1.0,
        "ensemble_ari": 1.0,
        "self_trained_acc": 0.6667,
        "self_trained_nmi": merged_nmi,
        "self_trained_ari": 0.4444,
        "best_head_balanced_acc": 0.3333,
        "ensemble_balanced_acc": 1.0,
        "self_trained_balanced_acc": 0.6667,
        "heads_mean_acc": 0.6667,
        "heads_sd_acc": 0.3333,
        "heads_mean_nmi": 0.5,
        "heads_sd_nmi": 0.5,
        "heads_mean_ari": 0.5,
        "heads_sd_ari": 0.5,
        "oracle_self_trained_acc": 0.6667,
        "oracle_self_trained_nmi": merged_nmi,
        "oracle_self_trained_ari": 0.4444,
    }


def test_the_oracle_is_the_best_setting_by_labels():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=300).astype(np.int32)
    unknown = rng.random(300) < 0.1
    labels = np.where(unknown, -1, truth).astype(np.int32)
    shares = (0.3, 0.9, 0.5, 0.0)
    grid = np.stack([np.where(rng.random(300) < share, truth, rng.integers(5, size=300)) for share in shares])
    # Clusters have other numbers than classes, and images of unknown class would prefer the third.
    grid = rng.permutation(5)[grid].astype(np.int32)
    grid[2][unknown] = rng.permutation(5)[truth][unknown]
    found = oracle_self_trained_measures(grid, labels)

    def naive_accuracy(predicted):
        known = labels >= 0
        orders = (np.array(order) for order in permutations(range(5)))
        return max((order[predicted[known]] == labels[known]).mean() for order in orders)

    accuracies = [naive_accuracy(row) for row in grid]
    assert found["oracle_self_trained_acc"] == pytest.approx(max(accuracies))
    assert int(np.argmax(accuracies)) == 1
    known = labels >= 0
    for measure, naive in (("nmi", normalized_mutual_info_score), ("ari", adjusted_rand_score)):
        assert found[f"oracle_self_trained_{measure}"] == pytest.approx(naive(labels[known], grid[1][known]))
    for number in range(4):
        chosen = clusterings(heads=grid, ensemble=grid[0], self_trained=grid[number], self_trained_grid=grid, classes=5)
        measures = labelled_measures(chosen, labels)
        assert measures["oracle_self_trained_acc"] >= measures["self_trained_acc"]


def test_predictions_without_relation_to_the_labels_give_the_oracle_little():
    rng = np.random.default_rng(0)
    labels, grid = rng.integers(4, size=4000), rng.integers(4, size=(13, 4000))
    found = oracle_self_trained_measures(grid.astype(np.int32), labels.astype(np.int32))
    # Chance is 1/4, with a deviation of 0.007; matching and the best of 13 add to it.
    assert 0.25 <= found["oracle_self_trained_acc"] < 0.29
    assert abs(found["oracle_self_trained_ari"]) < 0.01


def test_images_of_unknown_class_do_not_count():
    extra = np.array([1, 0, 2, 2], dtype=np.int32)

    def longer(labelling):
        return np.concatenate([labelling, extra], axis=-1)

    more = clusterings(
        heads=np.concatenate([clusterings().heads, np.stack([extra, extra])], axis=1),
        ensemble=longer(RENAMED),
        self_trained=longer(MERGED),
        self_trained_grid=np.stack([longer(ONE), longer(MERGED)]),
    )
    labels = np.concatenate([LABELS, np.full(4, -1, dtype=np.int32)])
    assert labelled_measures(more, labels) == labelled_measures(clusterings(), LABELS)


@pytest.fixture
def noisy():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=300).astype(np.int32)

    def guess(share):
        return np.where(rng.random(300) < share, truth, rng.integers(5, size=300)).astype(np.int32)

    found = Clusterings(
        heads=np.stack([guess(share) for share in (0.5, 0.6, 0.7)]),
        best_head=2,
        ensemble=guess(0.8),
        self_trained=guess(0.9),
        self_trained_grid=np.stack([guess(0.9), guess(0.95)]),
        classes=5,
    )
    return found, truth


def test_the_numbering_of_clusters_changes_no_measure(noisy):
    found, truth = noisy
    rng = np.random.default_rng(1)

    def renumbered(labelling):
        return rng.permutation(5).astype(np.int32)[labelling]

    other = Clusterings(
        heads=np.stack([renumbered(head) for head in found.heads]),
        best_head=found.best_head,
        ensemble=renumbered(found.ensemble),
        self_trained=renumbered(found.self_trained),
        self_trained_grid=np.stack([renumbered(predicted) for predicted in found.self_trained_grid]),
        classes=5,
    )
    assert (other.ensemble != found.ensemble).any()
    assert labelled_measures(other, truth) == labelled_measures(found, truth)
    assert label_free_measures(other, {}) == label_free_measures(found, {})


def test_better_clusterings_have_better_measures(noisy):
    measures = labelled_measures(*noisy)
    for measure in ("acc", "nmi", "ari"):
        ordered = [measures[f"{name}_{measure}"] for name in ("best_head", "ensemble", "self_trained")]
        assert ordered == sorted(ordered)
        assert measures[f"heads_mean_{measure}"] < measures[f"best_head_{measure}"]


def test_label_free_measures_of_a_hand_made_case():
    # ANMI of MERGED with the heads: geometric mean with LABELS, 0 with ONE.
    information = math.log(3) - 2 / 3 * math.log(2)
    anmi = information / math.sqrt(math.log(3) * information) / 2
    assert label_free_measures(clusterings(), {"ensemble": 0.123456, "self_trained": None}) == {
        "heads_pairwise_nmi": 0.0,
        "ensemble_anmi": 0.5,
        "ensemble_agreement": 0.6667,
        "self_trained_anmi": round(anmi, 4),
        "self_trained_kl_to_uniform": round(math.log(3) - information, 4),
        "self_trained_empty_clusters": 1,
        "ensemble_silhouette": 0.1235,
    }


def test_heads_that_agree_have_pairwise_nmi_one_and_a_single_head_has_none():
    assert label_free_measures(clusterings(heads=np.stack([LABELS, RENAMED])), {})["heads_pairwise_nmi"] == 1.0
    assert "heads_pairwise_nmi" not in label_free_measures(clusterings(heads=LABELS[None], best_head=0), {})


def test_label_free_measures_have_no_word_of_labels():
    names = label_free_measures(clusterings(), {"self_trained": 0.0})
    assert not [name for name in names if name.endswith(("_acc", "_nmi", "_ari")) and name != "heads_pairwise_nmi"]


def test_only_floats_are_rounded():
    values = {"a": 0.123449, "b": 7, "c": "mcla", "d": None, "e": True}
    assert rounded(values) == {"a": 0.1234, "b": 7, "c": "mcla", "d": None, "e": True}


def test_readable_table_has_a_line_for_every_clustering():
    measures = {f"{name}_{m}": 0.5 for name in ("best_head", "heads_mean", "ensemble") for m in MEASURES}
    for name, values in (("self_trained", (0.91, 0.82, 0.73)), ("oracle_self_trained", (0.92, 0.83, 0.74))):
        measures |= {f"{name}_{m}": value for m, value in zip(MEASURES, values, strict=True)}
    lines = readable_table(measures).splitlines()
    assert lines[0].split() == ["ACC", "NMI", "ARI"]
    assert len(lines) == 6
    assert lines[4].split()[-3:] == ["0.9100", "0.8200", "0.7300"]
    assert lines[5].split()[-3:] == ["0.9200", "0.8300", "0.7400"]
    assert readable_table({"ensemble_anmi": 0.4}).split() == ["ensemble_anmi", "0.4"]
