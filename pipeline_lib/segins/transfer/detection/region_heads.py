"""The second stage of a C4 detector: res5 on every region, then classes, boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.segins.transfer.detection.masks import MaskHead, mask_targets
from pipeline_lib.segins.transfer.detection.proposals import STRIDE
from pipeline_lib.segins.transfer.detection.region_alignment import align_regions
from pipeline_lib.segins.transfer.detection.suppression import suppress
from pipeline_lib.segins.transfer.detection.targets import Targets

from torchvision.models.detection._utils import (  # isort: skip
    BalancedPositiveNegativeSampler,
    BoxCoder,
    Matcher,
)
from torchvision.ops import box_iou, clip_boxes_to_image  # isort: skip

_OVERLAP = 0.5
_POSITIVE_SHARE = 0.25
_DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@dataclass
class Found:
    """Detections of one image by falling score.

    Attributes:
        boxes: float (d, 4), pixels.
        scores: float (d,).
        labels: int64 (d,), from 0.
        masks: Probabilities inside the boxes, float (d, s, s), or ``None`` without a mask head.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None


@dataclass
class Sampled:
    """Regions of one image that the second stage is trained on.

    Attributes:
        boxes: float (r, 4).
        labels: Class, or the number of classes for background, int64 (r,).
        objects: Object that each was matched with, int64 (r,); without meaning where there are none.
        matched: Box of that object, float (r, 4).
    """

    boxes: Tensor
    labels: Tensor
    objects: Tensor
    matched: Tensor


class RegionHeads(nn.Module):
    """One pass of res5 and of a batch normalisation over all regions, which boxes and masks share.

    The normalisation after res5's last ReLU is MoCo's: features of self-supervised networks are not of the scale that
    the predictors expect. Background is the last class, as in detectron2.
    """

    def __init__(
        self,
        res5: nn.Module,
        channels: int,
        classes: int,
        *,
        region_size: int,
        regions: int,
        masks: bool,
        score_threshold: float,
        detections: int,
    ) -> None:
        """Build the heads with random predictors.

        Args:
            res5: Last stage of the ResNet.
            channels: Channels of its map.
            classes: Number of classes.
            region_size: Bins a side of a region (14).
            regions: Regions an image in training (512).
            masks: Whether there is a mask head.
            score_threshold: Least score of a detection (0.05).
            detections: Most detections an image (100).
        """
        super().__init__()
        self.res5 = res5
        self.norm = nn.BatchNorm2d(channels)
        self.scores = nn.Linear(channels, classes + 1)
        self.deltas = nn.Linear(channels, 4 * classes)
        self.masks = MaskHead(channels, classes) if masks else None
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.scores, self.deltas):
            nn.init.zeros_(layer.bias)
        self.classes = classes
        self.region_size = region_size
        self.score_threshold = score_threshold
        self.detections = detections
        self._matcher: Any = Matcher(_OVERLAP, _OVERLAP, allow_low_quality_matches=False)
        self._sampler: Any = BalancedPositiveNegativeSampler(regions, _POSITIVE_SHARE)
        self._coder: Any = BoxCoder(_DELTA_WEIGHTS)

    def features(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """Features of regions, float (K, C, s, s), s being half the region size, rounded up."""
        features: Tensor = self.norm(self.res5(self._aligned(maps, boxes)))
        return features

    def _aligned(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        rows = torch.cat([each.new_full((len(each), 1), row) for row, each in enumerate(boxes)])
        regions = torch.cat([rows, torch.cat(boxes)], dim=1)  # (K, 5)
        return align_regions(maps, regions, self.region_size, 1 / STRIDE)

    def losses(
        self, maps: Sequence[Tensor], sampled: Sequence[list[Sampled]], targets: Sequence[list[Targets]]
    ) -> list[dict[str, Tensor]]:
        """Losses of classes, boxes and masks; the regions of all groups are normalised together.

        Args:
            maps: res4 of every group, float (N, C, H, W) each.
            sampled: Regions of every image, by group.
            targets: Of every image, by group.

        Returns:
            Of every group, scalars by name.
        """
        boxes = [[each.boxes for each in group] for group in sampled]
        aligned = [self._aligned(own, group) for own, group in zip(maps, boxes, strict=True)]
        features: Tensor = self.norm(self.res5(torch.cat(aligned)))  # (K, C, s, s)
        parts = torch.split(features, [len(group) for group in aligned])
        return [self._losses(*group) for group in zip(parts, sampled, targets, strict=True)]

    def _losses(self, features: Tensor, sampled: list[Sampled], targets: list[Targets]) -> dict[str, Tensor]:
        """Losses of one group from the features of its regions, (K, C, s, s)."""
        labels = torch.cat([each.labels for each in sampled])  # (K,)
        pooled = features.mean(dim=(2, 3))  # (K, C)
        positive = (labels < self.classes).nonzero()[:, 0]
        chosen = labels[positive]
        deltas = self.deltas(pooled).view(len(labels), self.classes, 4)[positive, chosen]
        wanted = self._coder.encode_single(
            torch.cat([each.matched for each in sampled])[positive],
            torch.cat([each.boxes for each in sampled])[positive],
        )
        losses = {
            "class": functional.cross_entropy(self.scores(pooled), labels),
            "box": functional.l1_loss(deltas, wanted, reduction="sum") / len(labels),
        }
        if self.masks is not None:
            logits = self.masks(features[positive], chosen)
            losses["mask"] = _mask_loss(logits, sampled, targets, self.classes)
        return losses

    def sample(self, proposals: list[Tensor], targets: list[Targets]) -> list[Sampled]:
        """Regions that the second stage is trained on, by torch's generator.

        Args:
            proposals: Of every image, float (p, 4).
            targets: Of every image.
        """
        return [self._sample(*pair) for pair in zip(proposals, targets, strict=True)]

    @torch.no_grad()
    def _sample(self, proposals: Tensor, targets: Targets) -> Sampled:
        boxes = torch.cat([proposals, targets.boxes])
        labels = torch.full((len(boxes),), self.classes, device=boxes.device)
        objects = torch.zeros_like(labels)
        if len(targets.boxes):
            matched = self._matcher(box_iou(targets.boxes, boxes))
            objects = matched.clamp(min=0)
            labels = torch.where(matched >= 0, targets.labels[objects], labels)
        (positive,), (negative,) = self._sampler([(labels < self.classes).long()])
        kept = ((positive | negative) > 0).nonzero()[:, 0]
        origin = targets.boxes[objects[kept]] if len(targets.boxes) else boxes[kept]
        return Sampled(boxes[kept], labels[kept], objects[kept], origin)

    def detect(self, maps: Tensor, proposals: list[Tensor], sizes: list[tuple[int, int]]) -> list[Found]:
        """Detections of every image.

        Args:
            maps: res4, float (N, C, H, W).
            proposals: Of every image, float (p, 4).
            sizes: Height and width of every image.

        Returns:
            One an image.
        """
        counts = [len(each) for each in proposals]
        pooled = (
            self.features(maps, proposals).mean(dim=(2, 3))
            if sum(counts)
            else maps.new_zeros(0, self.norm.num_features)
        )
        probabilities = self.scores(pooled).softmax(dim=1)[:, :-1]  # (K, classes)
        boxes = self._coder.decode_single(self.deltas(pooled), torch.cat(proposals)).view(-1, self.classes, 4)
        found = [
            self._chosen(*each) for each in zip(boxes.split(counts), probabilities.split(counts), sizes, strict=True)
        ]
        if self.masks is not None:
            labels = torch.cat([each.labels for each in found])
            masks = maps.new_zeros(0, 1, 1)
            if len(labels):
                masks = self.masks(self.features(maps, [each.boxes for each in found]), labels).sigmoid()
            for each in found:
                each.masks, masks = masks[: len(each.labels)], masks[len(each.labels) :]
        return found

    def _chosen(self, boxes: Tensor, probabilities: Tensor, size: tuple[int, int]) -> Found:
        rows, labels = (probabilities > self.score_threshold).nonzero().unbind(1)
        candidates = clip_boxes_to_image(boxes[rows, labels], size)
        scores = probabilities[rows, labels]
        kept = suppress(candidates, scores, labels, _OVERLAP)[: self.detections]
        return Found(candidates[kept], scores[kept], labels[kept])


def _mask_loss(logits: Tensor, sampled: list[Sampled], targets: list[Targets], classes: int) -> Tensor:
    wanted = []
    for each, own in zip(sampled, targets, strict=True):
        positive = each.labels < classes
        if own.masks is not None and bool(positive.any()):
            wanted.append(mask_targets(own.masks, each.boxes[positive], each.objects[positive], logits.shape[-1]))
    if not wanted:
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits, torch.cat(wanted))
