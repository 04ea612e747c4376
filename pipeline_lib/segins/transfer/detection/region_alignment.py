"""RoIAlign (He et al. 2017, aligned as in detectron2): torchvision's operator, or the same by matrix products.

Without compiled operators torchvision gathers every sampling point, which takes many gigabytes. The average over a
grid of bilinear samples is separable: a bin is a product of one weighting of the rows and one of the columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_lib.base import torchvision_import  # noqa: F401

from torchvision.extension import _has_ops  # isort: skip
from torchvision.ops import roi_align  # isort: skip

_BLOCK_ELEMENTS = 1 << 24


def align_regions(maps: Tensor, regions: Tensor, size: int, scale: float) -> Tensor:
    """Average bilinear samples over ``size`` × ``size`` bins of each region; as many samples a bin as it has cells.

    Args:
        maps: float (N, C, H, W).
        regions: float (K, 5): row of ``maps``, then x0, y0, x1, y1 in pixels of the image.
        size: Bins a side.
        scale: Cells of the map a pixel.

    Returns:
        float (K, C, size, size), differentiable by ``maps``.
    """
    if _has_ops():
        compiled: Tensor = roi_align(maps, regions, size, scale, 0, aligned=True)
        return compiled
    return align_by_products(maps, regions, size, scale)


def align_by_products(maps: Tensor, regions: Tensor, size: int, scale: float) -> Tensor:
    """:func:`align_regions` without compiled operators; memory for 16 million values a block, deterministic."""
    channels, height, width = maps.shape[1:]
    rows = regions[:, 0].long()
    order = rows.argsort(stable=True)
    corners = regions[order, 1:] * scale - 0.5  # (K, 4)
    block = max(1, _BLOCK_ELEMENTS // (size * channels * width))
    parts = [maps.new_zeros(0, channels, size, size)]
    start = 0
    for row, count in enumerate(torch.bincount(rows, minlength=len(maps)).tolist()):
        for first in range(start, start + count, block):
            chosen = corners[first : min(first + block, start + count)]  # (k, 4)
            vertical = _bin_weights(chosen[:, 1], chosen[:, 3], size, height).to(maps.dtype)  # (k, S, H)
            horizontal = _bin_weights(chosen[:, 0], chosen[:, 2], size, width).to(maps.dtype)  # (k, S, W)
            by_rows = maps[row].transpose(0, 1).reshape(height, channels * width)  # (H, C * W)
            strips = (vertical.reshape(-1, height) @ by_rows).view(len(chosen), size * channels, width)
            bins = strips @ horizontal.transpose(1, 2)  # (k, S * C, S)
            parts.append(bins.view(len(chosen), size, channels, size).transpose(1, 2))
        start += count
    aligned = torch.cat(parts)
    if bool((order[1:] > order[:-1]).all()):
        return aligned
    return aligned[order.argsort()]


@torch.no_grad()
def _bin_weights(start: Tensor, end: Tensor, bins: int, cells: int) -> Tensor:
    """Weight of every cell of an axis in every bin of every region.

    Args:
        start: Where the regions begin, in cells from the first cell's centre, float (k,).
        end: Where they end.
        bins: Bins a region.
        cells: Cells of the axis.

    Returns:
        float (k, bins, cells).
    """
    width = (end - start) / bins  # (k,)
    samples = width.ceil().clamp(min=0)  # (k,)
    most = max(1, int(samples.max())) if len(samples) else 1
    number = torch.arange(most, device=start.device)
    within = (number + 0.5) / samples.clamp(min=1)[:, None]  # (k, G) in bins
    place = torch.arange(bins, device=start.device)[None, :, None] + within[:, None]  # (k, bins, G)
    place = start[:, None, None] + place * width[:, None, None]
    # Samples farther than a cell outside count as zero, nearer ones as the border, as in the compiled operators.
    counted = (number < samples[:, None])[:, None] & (place >= -1) & (place <= cells)
    place = place.clamp(0, cells - 1)
    hats = (1 - (place[..., None] - torch.arange(cells, device=start.device)).abs()).clamp(min=0)  # (k, bins, G, cells)
    return (hats * counted[..., None]).sum(dim=2) / samples.clamp(min=1)[:, None, None]
