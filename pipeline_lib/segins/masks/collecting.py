"""Takes masks as they come: keeps them packed until all are there, scores them, and keeps a few for the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.gathering import gathered_objects
from pipeline_lib.segins.masks.controls import centre_ellipse, whole_image
from pipeline_lib.segins.masks.scoring import MaskScores
from pipeline_lib.segins.masks.sources import PseudoMask
from pipeline_lib.segins.masks.truth import ImageTruth

Truth = Callable[[int, tuple[int, int], tuple[int, int]], ImageTruth | None]


class CollectedMasks:
    """Masks of all images.

    Attributes:
        samples: By row, the masks that the picture shows, with the truth where there is one.
    """

    def __init__(self, count: int, truth_of: Truth, centre_share: float, sample_rows: Iterable[int]) -> None:
        """Prepare to collect.

        Args:
            count: Number of images.
            truth_of: From a row, the image's size and the mask's size to the truth, or ``None`` where there is none.
            centre_share: Part of the image that the ellipse of the control covers.
            sample_rows: Rows that the picture shows.
        """
        self.samples: dict[int, tuple[PseudoMask, ImageTruth | None]] = {}
        self._count = count
        self._truth_of = truth_of
        self._centre_share = centre_share
        self._sample_rows = frozenset(sample_rows)
        self._packed: dict[int, tuple[NDArray[np.uint8], tuple[int, int]]] = {}
        self._shares = np.zeros(count)
        self._scores = MaskScores()

    def add_all(self, masks: Iterable[PseudoMask]) -> None:
        """Take masks, one an image, in any order; of several processes the first takes over those of the others.

        Raises:
            UserError: An image has none.
        """
        for made in masks:
            self._add(made)
        parts = gathered_objects((self._packed, self._shares, self._scores, self.samples))
        if not parts:
            return
        for packed, shares, scores, samples in parts[1:]:
            self._packed |= packed
            self._shares += shares
            self._scores.add_scores(scores)
            self.samples |= samples
        if len(self._packed) != self._count:
            raise UserError(f"masks: made {len(self._packed)} for {self._count} images")

    def _add(self, made: PseudoMask) -> None:
        height, width = made.mask.shape
        self._packed[made.row] = (np.packbits(made.mask), (height, width))
        self._shares[made.row] = made.mask.mean()
        truth = self._truth_of(made.row, made.image_size, (height, width))
        if made.row in self._sample_rows:
            self.samples[made.row] = (made, truth)
        if truth is not None:
            centre = centre_ellipse(height, width, self._centre_share)
            kinds = {"pseudo": made.mask, "control_centre": centre, "control_whole": whole_image(height, width)}
            self._scores.add(kinds, made.soft, truth)

    def in_order(self) -> Iterator[NDArray[np.bool_]]:
        """Masks by row, bool (H, W); each is forgotten once given."""
        for row in range(self._count):
            packed, (height, width) = self._packed.pop(row)
            yield np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)

    def metrics(self) -> dict[str, Any]:
        """Measures of all masks, and of the images with truth those of :meth:`MaskScores.metrics`."""
        measures = {
            "images": self._count,
            "foreground_share": round(float(self._shares.mean()), 4),
            "empty_masks": int((self._shares == 0).sum()),
            "full_masks": int((self._shares == 1).sum()),
        }
        return measures | self._scores.metrics()

    def summary(self) -> str:
        """The measures of the masks in one line."""
        measures = self.metrics()
        text = f"{measures['images']:,} images, foreground {measures['foreground_share']:.2f}"
        scores, centre = measures.get("pseudo"), measures.get("control_centre")
        if scores is None or centre is None:
            return f"{text}; no truth to score with"
        name = "masks" if measures["images_with_masks"] else "boxes"
        key = f"iou_with_{name}"
        return (
            f"{text}; IoU with true {name} {scores[key]:.3f} (centred ellipse {centre[key]:.3f}), "
            f"CorLoc {scores['corloc']:.3f} ({centre['corloc']:.3f})"
        )
