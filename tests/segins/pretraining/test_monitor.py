import numpy as np
import pytest
import torch

from pipeline_lib.segins.pretraining.losses import embedding_spread
from pipeline_lib.segins.pretraining.monitor import knn_accuracy


def test_spread_is_one_for_all_directions_and_zero_for_one():
    generator = torch.Generator().manual_seed(0)
    even = torch.randn(5000, 64, generator=generator)
    assert float(embedding_spread(even * torch.rand(5000, 1))) == pytest.approx(1, abs=0.02)
    assert float(embedding_spread(torch.ones(10, 64) * torch.arange(1, 11)[:, None])) == pytest.approx(0, abs=1e-6)


def test_knn_is_the_weighted_vote_of_the_nearest():
    rng = np.random.default_rng(0)
    base, queries = rng.standard_normal((50, 4)), rng.standard_normal((20, 4))
    base_labels = rng.integers(0, 3, 50).astype(np.int32)
    labels = rng.integers(0, 3, 20).astype(np.int32)
    right = 0
    for query, label in zip(queries, labels, strict=True):
        cosine = base @ query / np.linalg.norm(base, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-cosine)[:5]
        votes = [np.exp(cosine[nearest][base_labels[nearest] == c] / 0.07).sum() for c in range(3)]
        right += int(np.argmax(votes)) == label
    found = knn_accuracy(torch.from_numpy(base), base_labels, torch.from_numpy(queries), labels, k=5)
    assert found == pytest.approx(right / 20)
