from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.artifacts.neighbors import Neighbors
from pipeline_lib.ucls.neighbors.statistics import (
    list_statistics,
    mutual_share,
    oracle_accuracy_by_similarity,
    oracle_neighbor_accuracy,
)


def stored(lists, similarity=None, k_min=1, k_max=4):
    lengths = [len(row) for row in lists]
    flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in lists])
    values = np.full(len(flat), 0.5) if similarity is None else np.concatenate(similarity)
    return Neighbors(
        Path("unused"), {"k_min": k_min, "k_max": k_max}, np.cumsum([0, *lengths]), flat, values.astype(np.float16)
    )


def test_lengths():
    measures = list_statistics(stored([[1], [0, 2], [0, 1, 3], [0, 1, 2, 4], [3, 2, 1, 0]]))
    assert measures["images"] == 5
    assert measures["pairs"] == 14
    assert measures["neighbors_mean"] == 2.8
    assert (measures["neighbors_min"], measures["neighbors_median"], measures["neighbors_max"]) == (1, 3, 4)
    assert measures["share_at_k_min"] == 0.2
    assert measures["share_at_k_max"] == 0.4


def test_mutual_share_counts_pairs():
    assert mutual_share(stored([[1], [0], [0]])) == pytest.approx(2 / 3)
    assert mutual_share(stored([[1], [0], [3], [2]])) == 1
    one_way = stored([[1, 2], [2, 0], [3, 4], [4, 5], [5, 0], [0, 1]])
    assert mutual_share(one_way) == pytest.approx(2 / 12)
    assert mutual_share(one_way, pairs=2) == 0.5


def test_accuracy_over_pairs_over_images_and_of_the_nearest():
    neighbors = stored([[1, 2, 3], [0], [3, 0], [0, 2]])
    measures = oracle_neighbor_accuracy(neighbors, np.array([0, 0, 1, 1]))
    assert measures["oracle_neighbor_accuracy"] == pytest.approx(4 / 8)
    assert measures["oracle_neighbor_accuracy_per_image"] == pytest.approx(np.mean([1 / 3, 1, 1 / 2, 1 / 2]))
    assert measures["oracle_k_min_accuracy"] == pytest.approx(3 / 4)


def test_pairs_with_unknown_labels_do_not_count():
    neighbors = stored([[1, 2, 3], [0], [3, 0], [0, 2]])
    measures = oracle_neighbor_accuracy(neighbors, np.array([0, 0, 1, -1]))
    assert measures["oracle_neighbor_accuracy"] == pytest.approx(2 / 4)
    assert measures["oracle_neighbor_accuracy_per_image"] == pytest.approx(np.mean([1 / 2, 1, 0]))
    assert oracle_neighbor_accuracy(neighbors, np.full(4, -1))["oracle_neighbor_accuracy"] is None


def test_accuracy_by_similarity():
    similarity = [[0.95, 0.7, 0.31], [1.0], [0.3, -0.2], [0.29, 0.05]]
    neighbors = stored([[1, 2, 3], [0], [3, 0], [0, 2]], similarity)
    table = oracle_accuracy_by_similarity(neighbors, np.array([0, 0, 1, 1]))
    assert table["pairs"] == [1, 0, 1, 2, 0, 0, 0, 1, 0, 2]
    assert table["oracle_accuracy"] == [1, None, 0, 0.5, None, None, None, 0, None, 1]
    assert table["oracle_accuracy_above"][3] == pytest.approx(3 / 5)
    assert table["oracle_accuracy_above"][0] == pytest.approx(4 / 7)


def test_blocks_do_not_change_the_measures(monkeypatch):
    rng = np.random.default_rng(0)
    lists = [rng.permutation(200)[: rng.integers(1, 9)] for _ in range(200)]
    similarity = [rng.uniform(size=len(row)) for row in lists]
    labels = rng.integers(-1, 3, size=200)
    neighbors = stored(lists, similarity, k_min=2, k_max=8)
    whole = oracle_neighbor_accuracy(neighbors, labels), oracle_accuracy_by_similarity(neighbors, labels)
    blocks = Neighbors.blocks
    monkeypatch.setattr(Neighbors, "blocks", lambda self: blocks(self, entries=13))
    parts = oracle_neighbor_accuracy(neighbors, labels), oracle_accuracy_by_similarity(neighbors, labels)
    assert whole[0] == pytest.approx(parts[0])
    assert whole[1] == parts[1]
