"""Linear evaluation of one checkpoint on one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import is_distributed
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.features.knn_vote import knn_classes
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.linear.ridge_probe import ridge_classes
from pipeline_lib.segins.transfer.linear.samples import Crops
from pipeline_lib.segins.transfer.linear.training import LinearTrainer, pooled_features, topk_accuracy
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
    train: Callable[[LinearTrainer], nn.Linear] = LinearTrainer.run,
) -> dict[str, Any] | None:
    """Accuracy of a linear classifier, of one in closed form and of k-NN on frozen features.

    Processes share the images that the network sees. Where features are computed once, the first process trains on them
    alone; it also compares.

    Args:
        model: A ResNet without classifier, on ``device``; put into evaluation mode.
        dataset: Images with labels in the splits train and val.
        normalisation: Of the pixels.
        settings: Settings.
        device: Where to compute.
        seed: Seed of weights, order and crops.
        workers: Processes that decode; 0: this one does.
        train: Runs the trainer to its end, for example from a stored state.

    Returns:
        ``top1``, ``top5``, ``ridge_acc`` and ``knn_acc`` in [0, 1], ``train_images``, ``test_images``, ``classes``;
        ``None`` in all processes but the first.

    Raises:
        UserError: There are no labels, or of fewer than two classes.
    """
    of_train, of_test = labelled_rows(dataset, "train"), labelled_rows(dataset, "val")
    classes = int(max(of_train.labels.max(), of_test.labels.max())) + 1
    if classes < _LEAST_CLASSES:
        raise UserError(f"{dataset.folder}: one class only; linear evaluation needs two")
    size = settings.batch_size

    def features(split: str, rows: NDArray[np.int64], drawn: tuple[int, int] | None = None) -> Iterator[Tensor]:
        crops = Crops(dataset, split, rows, settings.image_size, normalisation, drawn)
        return pooled_features(model, crops, size, workers, device)

    def kept(split: str, rows: NDArray[np.int64]) -> Tensor:
        return torch.cat([part.cpu() for part in features(split, rows)])

    fixed, tested = kept("train", of_train.rows), kept("val", of_test.rows)  # (n, C), (m, C)

    def of_epoch(epoch: int, order: Tensor, first: int) -> Iterable[Tensor]:
        chosen = order[first * size :]
        if settings.augment:
            return features("train", of_train.rows[chosen.numpy()], (seed, epoch))
        return (fixed[rows].to(device) for rows in torch.split(chosen, size))

    first_process = not is_distributed() or dist.get_rank() == 0
    if not settings.augment and not first_process:
        return None
    classifier = train(LinearTrainer(of_epoch, of_train.labels, fixed.shape[1], classes, settings, seed, device))
    if not first_process:
        return None
    with torch.inference_mode():
        logits = classifier.cpu()(tested)
    base, queries = ArrayFeatures(fixed.numpy()), ArrayFeatures(tested.numpy())
    nearest = knn_classes(base, of_train.labels.numpy(), queries, settings.knn_neighbors)
    by_ridge = ridge_classes(fixed.numpy(), of_train.labels.numpy(), tested.numpy())
    return {
        "top1": topk_accuracy(logits, of_test.labels, 1),
        "top5": topk_accuracy(logits, of_test.labels, 5),
        "ridge_acc": float((by_ridge == of_test.labels.numpy()).mean()),
        "knn_acc": float((nearest == of_test.labels.numpy()).mean()),
        "train_images": len(of_train.rows),
        "test_images": len(of_test.rows),
        "classes": classes,
    }
