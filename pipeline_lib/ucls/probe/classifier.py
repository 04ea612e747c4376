"""The trained linear classifier and its predictions in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.row_blocks import bounded_row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.row_reader import as_tensor
from pipeline_lib.ucls.probe.features import FeatureInput


class LinearClassifier(nn.Module):
    """Scaling of the features and one linear layer, all in float32.

    Attributes:
        mean: Subtracted from the features, (D,).
        inverse_scale: Multiplied after that, (D,).
        weight: (C, D).
        bias: (C,).
    """

    mean: Tensor
    inverse_scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, mean: Tensor, inverse_scale: Tensor, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        classes, dimension = weight.shape
        for name, value, shape in (
            ("mean", mean, (dimension,)),
            ("inverse_scale", inverse_scale, (dimension,)),
            ("weight", weight, (classes, dimension)),
            ("bias", bias, (classes,)),
        ):
            if tuple(value.shape) != shape:
                raise UserError(f"linear classifier: {name} has shape {tuple(value.shape)}; expected {shape}")
            self.register_buffer(name, value.detach().clone().float())

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Classifier from its four tensors by name, as ``state_dict`` gives them."""
        return cls(state["mean"], state["inverse_scale"], state["weight"], state["bias"])

    def forward(self, features: Tensor) -> Tensor:
        """Logits (b, C) of features (b, D)."""
        scaled = (features.float() - self.mean) * self.inverse_scale
        return nn.functional.linear(scaled, self.weight, self.bias)

    def probabilities(self, features: Tensor) -> Tensor:
        """Softmax of the logits, (b, C) float32."""
        logits: Tensor = self(features)
        return logits.softmax(dim=-1)


@dataclass(frozen=True)
class PredictionBlock:
    """Predictions for consecutive rows.

    Attributes:
        rows: The rows.
        labels: Most probable class, (b,) int32.
        probabilities: Of all classes, (b, C) float32.
    """

    rows: slice
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the predicted class, (b,)."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float32)

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Entropy of the probabilities in nats, (b,), from 0 (certain) to log C."""
        p = self.probabilities.astype(np.float64)
        logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
        return np.asarray(np.maximum(-(p * logarithm).sum(axis=1), 0.0), dtype=np.float32)


def predict_in_blocks(
    classifier: LinearClassifier, features: FeatureBlocks, columns: FeatureInput | None = None
) -> Iterator[PredictionBlock]:
    """Predict all rows, a bounded number at a time, on the classifier's device.

    Args:
        classifier: The classifier.
        features: Features of n images.
        columns: Columns of the features that the classifier takes, in its order; all of them by default.

    Yields:
        Predictions of consecutive rows.

    Raises:
        UserError: The number of columns is not the classifier's.
    """
    classes, dimension = classifier.weight.shape
    given = features.dimension if columns is None else columns.dimension
    if given != dimension:
        raise UserError(f"features: {given} columns; the classifier was trained on {dimension}")
    for block in bounded_row_blocks(features.count, max(features.dimension, classes)):
        rows = as_tensor(features.rows(block)).to(classifier.weight.device)
        with torch.inference_mode():
            probabilities = classifier.probabilities(rows if columns is None else columns.take(rows)).cpu().numpy()
        yield PredictionBlock(block, probabilities.argmax(axis=1).astype(np.int32), probabilities)
