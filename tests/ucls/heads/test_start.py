from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_lib.artifacts.neighbors import Neighbors
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier
from pipeline_lib.ucls.heads.spectral import clustered_rows, neighbor_graph, spectral_embedding
from pipeline_lib.ucls.heads.start import LARGEST_EMBEDDING, chosen_start, place_prototypes, spectral_starts


def lists(indices, similarity=None, k_min=3):
    lengths = [len(row) for row in indices]
    flat = np.concatenate(indices).astype(np.int64)
    values = np.full(len(flat), 0.5) if similarity is None else np.concatenate(similarity)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Neighbors(Path(), {"k_min": k_min}, indptr, flat, values.astype(np.float16))


def rings(groups=3, each=20, seed=0):
    """Lists inside rings whose members no straight line holds together; ids are shuffled."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(groups * each)
    labels = np.empty(groups * each, dtype=np.int64)
    found = [None] * (groups * each)
    for group in range(groups):
        members = order[group * each : (group + 1) * each]
        labels[members] = group
        for position, image in enumerate(members):
            found[image] = [members[(position + step) % each] for step in (1, -1, 2)]
    return lists(found), labels


def same_partition(a, b):
    return ((a[:, None] == a) == (b[:, None] == b)).all()


def test_graph_is_symmetric_and_takes_the_nearest_only():
    neighbors = lists([[1, 2], [2, 0], [3, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [-0.2, -0.5]])
    graph = neighbor_graph(neighbors, 1).toarray()
    expected = np.zeros((4, 4))
    for a, b, weight in ((0, 1, 0.9), (1, 2, 0.8), (2, 3, 0.7), (3, 0, 1e-3)):
        expected[a, b] = expected[b, a] = weight
    np.testing.assert_allclose(graph, expected, atol=1e-3)


def test_embedding_is_that_of_a_dense_eigensolver():
    rng = np.random.default_rng(0)
    # Two groups with links between them: no eigenvalue is double.
    found = [rng.choice(np.delete(np.arange(30), i), 4, replace=False, p=None) for i in range(30)]
    graph = neighbor_graph(lists(found, [rng.uniform(0.2, 0.9, 4) for _ in found]), 4)
    dense = graph.toarray()
    scale = 1 / np.sqrt(dense.sum(axis=1))
    vectors = np.linalg.eigh(scale[:, None] * dense * scale)[1][:, -3:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours = spectral_embedding(graph, 3)
    # Eigenvectors have no sign: compare the inner products of rows.
    np.testing.assert_allclose(ours @ ours.T, vectors @ vectors.T, atol=1e-6)


def test_every_head_finds_the_rings_and_heads_differ_in_numbering():
    neighbors, labels = rings()
    starts = spectral_starts(neighbors, 3, 6, seed=0)
    assert starts.shape == (6, 60)
    assert all(same_partition(head, labels) for head in starts)
    np.testing.assert_array_equal(starts, spectral_starts(neighbors, 3, 6, seed=0))
    assert (starts != spectral_starts(neighbors, 3, 6, seed=1)).any()


def test_too_few_images_for_the_eigenvectors_are_refused_in_one_line():
    neighbors, _ = rings(groups=2, each=3)
    with pytest.raises(UserError, match=r"start = spectral: 6 images for 5 classes; at least 7 are needed"):
        spectral_starts(neighbors, 5, 2, seed=0)


def test_rows_cluster_alike_for_a_seed():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(clustered_rows(rows, 4, 1), clustered_rows(rows, 4, 1))


@pytest.mark.parametrize(
    ("start", "images", "classes", "expected"),
    [
        ("auto", 50_000, 10, "spectral"),
        ("auto", LARGEST_EMBEDDING // 1000 + 1, 1000, "random"),
        ("auto", 20, 10, "random"),
        ("random", 100, 10, "random"),
        ("spectral", 10**9, 10, "spectral"),
    ],
)
def test_auto_is_spectral_where_the_eigenvectors_can_be_computed(start, images, classes, expected):
    assert chosen_start(start, images, classes) == expected


class Blobs:
    count, dimension = 120, 6

    def __init__(self):
        generator = np.random.default_rng(0)
        self.labels = np.arange(120) % 3
        self.values = (4 * np.eye(6)[self.labels] + generator.normal(0, 0.3, (120, 6))).astype(np.float32)

    def rows(self, indices):
        return self.values[indices]


@pytest.fixture
def placed():
    blobs = Blobs()
    classifier = MultiHeadClassifier(HeadShape(6, 4, 2, 32, 16, input="none"), torch.Generator().manual_seed(0))
    before = classifier.prototypes.detach().clone()
    # The second head has its clusters numbered another way; cluster 3 is empty in both.
    starts = np.stack([blobs.labels, (blobs.labels + 1) % 3])
    place_prototypes(classifier, FeatureRows(blobs, torch.device("cpu"), 1 << 30), starts)
    return blobs, classifier, before, starts


def test_untrained_heads_already_give_their_starts(placed):
    blobs, classifier, _, starts = placed
    with torch.no_grad():
        logits = classifier(torch.from_numpy(blobs.values))[..., :3]
    np.testing.assert_array_equal(logits.argmax(dim=-1), starts)


def test_prototypes_of_empty_clusters_and_all_lengths_stay(placed):
    _, classifier, before, _ = placed
    assert torch.equal(classifier.prototypes[:, 3], before[:, 3])
    assert (classifier.prototype_length == 1).all()
    torch.testing.assert_close(classifier.prototypes.norm(dim=-1), before.norm(dim=-1))
