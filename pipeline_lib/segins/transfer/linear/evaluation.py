"""Linear evaluation of one checkpoint on one data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.errors import UserError
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.features.knn_vote import knn_classes
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.linear.ridge_probe import ridge_classes
from pipeline_lib.segins.transfer.linear.samples import Crops
from pipeline_lib.segins.transfer.linear.training import pooled_features, topk_accuracy, train_classifier
from pipeline_lib.segins.transfer.settings import LinearEvalSettings

_LEAST_CLASSES = 2


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a split whose class is known, int64 (n,) each."""

    rows: NDArray[np.int64]
    labels: Tensor


def labelled_rows(dataset: Dataset, split: str) -> LabelledRows:
    """Rows with a class.

    Raises:
        UserError: The split is absent or no image of it has a class.
    """
    labels = dataset.oracle_labels(split) if split in dataset.splits else None
    if labels is None:
        raise UserError(f"{dataset.folder}: no labelled images in split {split}, which linear evaluation needs")
    rows = np.flatnonzero(labels >= 0).astype(np.int64)
    return LabelledRows(rows, torch.from_numpy(labels[rows].astype(np.int64)))


def linear_evaluation(
    model: nn.Module,
    dataset: Dataset,
    normalisation: Normalisation,
    settings: LinearEvalSettings,
    device: torch.device,
    *,
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """Accuracy of a linear classifier, of one in closed form and of k-NN on frozen features.

    Args:
        model: A ResNet without classifier, on ``device``; put into evaluation mode.
        dataset: Images with labels in the splits train and val.
        normalisation: Of the pixels.
        settings: Settings.
        device: Where to compute.
        seed: Seed of weights, order and crops.
        workers: Threads that decode; 0: none.

    Returns:
        ``top1``, ``top5``, ``ridge_acc`` and ``knn_acc`` in [0, 1], ``train_images``, ``test_images``, ``classes``.

    Raises:
        UserError: There are no labels, or of fewer than two classes.
    """
    train, test = labelled_rows(dataset, "train"), labelled_rows(dataset, "val")
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    if classes < _LEAST_CLASSES:
        raise UserError(f"{dataset.folder}: one class only; linear evaluation needs two")

    def features(split: str, rows: NDArray[np.int64], drawn: tuple[int, int] | None = None) -> Tensor:
        crops = Crops(dataset, split, rows, settings.image_size, normalisation, drawn)
        return pooled_features(model, crops.batches(settings.batch_size, workers), device)

    fixed, tested = features("train", train.rows), features("val", test.rows)  # (n, C), (m, C)

    def of_epoch(epoch: int, order: Tensor) -> Iterable[Tensor]:
        if settings.augment:
            chosen = features("train", train.rows[order.numpy()], (seed, epoch))
        else:
            chosen = fixed[order]
        return torch.split(chosen, settings.batch_size)

    classifier = train_classifier(of_epoch, train.labels, fixed.shape[1], classes, settings, seed)
    with torch.inference_mode():
        logits = classifier(tested)
    base, queries = ArrayFeatures(fixed.numpy()), ArrayFeatures(tested.numpy())
    nearest = knn_classes(base, train.labels.numpy(), queries, settings.knn_neighbors)
    by_ridge = ridge_classes(fixed.numpy(), train.labels.numpy(), tested.numpy())
    return {
        "top1": topk_accuracy(logits, test.labels, 1),
        "top5": topk_accuracy(logits, test.labels, 5),
        "ridge_acc": float((by_ridge == test.labels.numpy()).mean()),
        "knn_acc": float((nearest == test.labels.numpy()).mean()),
        "train_images": len(train.rows),
        "test_images": len(test.rows),
        "classes": classes,
    }
