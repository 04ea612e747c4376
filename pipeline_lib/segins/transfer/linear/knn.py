"""k-NN classification with votes weighed by similarity (Wu et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.07
_BLOCK = 1024


def weighted_knn_predictions(train: Tensor, labels: Tensor, test: Tensor, neighbors: int, classes: int) -> Tensor:
    """Class with the largest sum of exp(cosine / 0.07) over the nearest training features.

    Args:
        train: Training features, float (n, D).
        labels: Their classes, int64 (n,).
        test: Test features, float (m, D).
        neighbors: Training features that vote; all where there are fewer.
        classes: Number of classes.

    Returns:
        Classes, int64 (m,).
    """
    train, test = torch.nn.functional.normalize(train.float()), torch.nn.functional.normalize(test.float())
    found = []
    for block in torch.split(test, _BLOCK):
        similarity, nearest = (block @ train.T).topk(min(neighbors, len(train)), dim=1)  # (b, k)
        votes = torch.zeros(len(block), classes)
        # Less the largest: exp of 1 / 0.07 is finite, but its sums lose digits.
        weights = ((similarity - similarity[:, :1]) / TEMPERATURE).exp()
        votes.scatter_add_(1, labels[nearest], weights)
        found.append(votes.argmax(dim=1))
    return torch.cat(found)
