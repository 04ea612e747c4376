"""Where head training starts: prototypes at chance, or at the clusters that a simpler method finds in the features.

From random prototypes a head needs many passes to find its way out of poor groupings, and sets of a few hundred images
do not give it these passes. The simpler method gives each head another start, so that the heads still differ.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline_lib.artifacts.neighbors import Neighbors
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.ucls.heads.alignment import aligned_clusters
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import MultiHeadClassifier
from pipeline_lib.ucls.heads.spectral import clustered_rows, neighbor_graph, spectral_embedding

StartName = Literal["auto", "random", "spectral"]

LARGEST_EMBEDDING = 60_000_000
"""Images times classes up to which the eigenvectors are computed by ``auto``: minutes and a few GB at this size."""

_GRAPHS = (5, 10)
_BLOCK_ROWS = 4096


def chosen_start(start: StartName, images: int, classes: int) -> Literal["random", "spectral"]:
    """What ``auto`` means for this many images and classes: spectral, where the eigenvectors can be computed."""
    if start != "auto":
        return start
    return "spectral" if images * classes <= LARGEST_EMBEDDING and images > 2 * classes else "random"


def spectral_starts(neighbors: Neighbors, classes: int, heads: int, seed: int) -> NDArray[np.int64]:
    """A clustering of the images for each head: spectral clustering of three graphs, each head with its own k-means.

    Args:
        neighbors: Neighbour lists; the graphs have the 5, 10 and ``k_min`` nearest.
        classes: Number of clusters K, below the number of images.
        heads: Number of heads H.
        seed: Seed of the k-means starts.

    Returns:
        Cluster of every image, (H, n), numbered alike as far as the heads agree.

    Raises:
        UserError: There are too few images for so many eigenvectors.
    """
    if neighbors.count <= classes + 1:
        raise UserError(
            f"train_heads.start = spectral: {neighbors.count} images for {classes} classes; at least {classes + 2} are "
            "needed, use random"
        )
    sizes = sorted({*_GRAPHS, int(neighbors.settings["k_min"])})
    embeddings = [spectral_embedding(neighbor_graph(neighbors, size), classes) for size in sizes]
    seeds = np.random.SeedSequence(seed).generate_state(heads)
    found = [clustered_rows(embeddings[head % len(sizes)], classes, int(own)) for head, own in enumerate(seeds)]
    return aligned_clusters(np.stack(found), classes)


@torch.no_grad()
def place_prototypes(classifier: MultiHeadClassifier, features: FeatureRows, clusters: NDArray[np.int64]) -> None:
    """Point each prototype at the mean code of a cluster, seen from the mean of all codes; norms and lengths stay.

    Args:
        classifier: Classifier on the device of ``features``; changed in place.
        features: Training rows.
        clusters: Cluster of every row for each head, (H, n); a prototype whose cluster is empty stays as it is.
    """
    shape = classifier.shape
    device = classifier.prototypes.device
    total = torch.zeros(shape.heads, shape.classes, shape.bottleneck, device=device)
    count = torch.zeros(shape.heads, shape.classes, 1, device=device)
    training = classifier.training
    classifier.eval()
    for block in row_blocks(clusters.shape[1], _BLOCK_ROWS):
        codes = classifier.codes(features(np.arange(block.start, block.stop)))  # (H, b, bottleneck)
        member: Tensor = functional.one_hot(torch.from_numpy(clusters[:, block]).to(device), shape.classes).float()
        total += torch.bmm(member.mT, codes)
        count += member.sum(dim=1)[..., None]
    classifier.train(training)
    centre = total.sum(dim=1, keepdim=True) / clusters.shape[1]  # (H, 1, bottleneck)
    direction = functional.normalize(total / count.clamp(min=1) - centre, dim=-1)
    # With the norm of a random start, so that a step of the optimiser turns it as far.
    placed = direction * classifier.prototypes.norm(dim=-1, keepdim=True)
    classifier.prototypes.copy_(torch.where(count > 0, placed, classifier.prototypes))
