"""Assignments of a trained classifier, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_lib.base.gathering import spread
from pipeline_lib.base.row_blocks import row_blocks
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.features.row_reader import as_tensor
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier
from pipeline_lib.ucls.heads.settings import Probabilities

BLOCK_ROWS = 4096


def restored_classifier(
    shape: Mapping[str, Any], state: dict[str, Tensor], device: torch.device
) -> MultiHeadClassifier:
    """A classifier in evaluation mode from its sizes and state dict."""
    classifier = MultiHeadClassifier(HeadShape(**shape))
    classifier.load_state_dict(state)
    return classifier.to(device).eval()


def assign_in_blocks(
    classifier: MultiHeadClassifier,
    features: FeatureBlocks,
    ids: NDArray[np.int64],
    *,
    temperature: float,
    probabilities: Probabilities,
    best_head: int,
    device: torch.device,
    block_rows: int = BLOCK_ROWS,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]]:
    """Assign every image by every head.

    Args:
        classifier: Classifier in evaluation mode.
        features: Features of the split.
        ids: Image ids, (n,).
        temperature: Temperature of the probabilities; assignments do not depend on it.
        probabilities: Which are given: those of the best head, of all heads, the mean of all heads, or none.
        best_head: The best head.
        device: Device of the classifier.
        block_rows: Rows at a time.

    Returns:
        Ids (b,), assignments (H, b) and probabilities, (b, K), or (H, b, K) of all heads, or ``None``; with several
        processes on the first, and nothing on the others, which compute their part of the blocks.
    """

    @torch.inference_mode()
    def assigned(rows: slice) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32] | None]:
        logits = classifier(as_tensor(features.rows(rows)).to(device))  # (H, b, K)
        probability: Tensor | None
        match probabilities:
            case "best":
                probability = (logits[best_head] / temperature).softmax(dim=-1)  # (b, K)
            case "all":
                probability = (logits / temperature).softmax(dim=-1)  # (H, b, K)
            case "mean":
                probability = (logits / temperature).softmax(dim=-1).mean(dim=0)  # (b, K)
            case "none":
                probability = None
            case _:
                assert_never(probabilities)
        labels = logits.argmax(dim=-1).to(torch.int32)
        return ids[rows], labels.cpu().numpy(), None if probability is None else probability.cpu().numpy()

    return spread(assigned, [*row_blocks(features.count, block_rows)])
