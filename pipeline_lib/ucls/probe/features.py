"""The sets of feature columns that classifiers take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_lib.base.errors import UserError


@dataclass(frozen=True)
class FeatureInput:
    """A set of feature columns that classifiers take.

    Attributes:
        blocks: Names of the feature blocks, in the order in which they are concatenated.
        columns: First and past-the-end column of each block in the features.
    """

    blocks: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        """The blocks' names joined by ``+``."""
        return "+".join(self.blocks)

    @property
    def dimension(self) -> int:
        """Number of columns D."""
        return sum(stop - start for start, stop in self.columns)

    def take(self, rows: Tensor) -> Tensor:
        """Columns of this input, (b, D); a view of ``rows`` (b, d) where they lie side by side."""
        merged: list[tuple[int, int]] = []
        for start, stop in self.columns:
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], stop)
            else:
                merged.append((start, stop))
        parts = [rows[:, start:stop] for start, stop in merged]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def feature_input(blocks: tuple[str, ...], columns: Mapping[str, tuple[int, int]]) -> FeatureInput:
    """Input made of named blocks.

    Args:
        blocks: Names of the blocks.
        columns: Column range of every block of the features.

    Returns:
        The input.

    Raises:
        UserError: The features lack one of the blocks.
    """
    for block in blocks:
        if block not in columns:
            raise UserError(f"feature block {block!r}: not in the features; they have {', '.join(columns)}")
    return FeatureInput(blocks, tuple((columns[block][0], columns[block][1]) for block in blocks))


def dinov2_inputs(columns: Mapping[str, tuple[int, int]]) -> tuple[FeatureInput, ...]:
    """Inputs of DINOv2's linear evaluation: class tokens of the last 1 and last n blocks, with and without patch mean.

    Class tokens stand in the order of the network (``cls_-4``, ..., ``cls``), the mean of the last block's patch tokens
    after them. n is the number of blocks whose class tokens the features have. Features without ``cls`` (of a CNN) give
    one input of all their columns.

    Args:
        columns: Column range of every block of the features.

    Returns:
        Up to four distinct inputs, the smallest first.
    """
    if "cls" not in columns:
        return (feature_input(tuple(columns), columns),)
    earlier = sorted((name for name in columns if name.startswith("cls_-")), key=lambda name: int(name[4:]))
    names = [("cls",)] if not earlier else [("cls",), (*earlier, "cls")]
    pooled = [(), ("patch_mean",)] if "patch_mean" in columns else [()]
    return tuple(feature_input((*tokens, *mean), columns) for tokens in names for mean in pooled)
