"""The region proposal network (Ren et al. 2015) with detectron2's anchors and losses, on torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.segins.transfer.detection.suppression import suppress

from torchvision.models.detection.anchor_utils import AnchorGenerator  # isort: skip
from torchvision.models.detection.image_list import ImageList  # isort: skip
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead  # isort: skip
from torchvision.ops import clip_boxes_to_image  # isort: skip

STRIDE = 16
ASPECT_RATIOS = (0.5, 1.0, 2.0)
_BEFORE_SUPPRESSION = 6
"""Candidates a proposal before suppression: 12,000 for 2,000 and 6,000 for 1,000."""


class GridAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors of exact sizes at multiples of the stride, all ratios of a size one after the other.

    torchvision rounds the sizes, orders by ratio first, and takes the stride from the sizes of image and map.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Prepare anchors.

        Args:
            sizes: Roots of the areas, pixels.
        """
        super().__init__(sizes=(tuple(sizes),), aspect_ratios=(ASPECT_RATIOS,))

    def generate_anchors(
        self,
        scales: Sequence[int],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Anchors around the origin, float (sizes * ratios, 4)."""
        sizes = torch.as_tensor(scales, dtype=torch.float64)[:, None]
        ratios = torch.as_tensor(aspect_ratios, dtype=torch.float64)
        width = (sizes / ratios.sqrt()).flatten()
        height = (sizes * ratios.sqrt()).flatten()
        return (torch.stack([-width, -height, width, height], dim=1) / 2).to(dtype).to(device)

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        """Anchors of every image, float (H * W * A, 4) each."""
        (features,) = feature_maps
        self.set_cell_anchors(features.dtype, features.device)
        stride = torch.tensor(STRIDE, device=features.device)
        (anchors,) = self.grid_anchors([list(features.shape[-2:])], [[stride, stride]])
        return [anchors] * len(image_list.image_sizes)


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """Region proposals from res4.

    Both losses are sums over the sampled anchors, divided by the number of anchors that should be sampled, also where
    an image has fewer; the distance of the boxes is L1.
    """

    def __init__(
        self,
        channels: int,
        sizes: Sequence[int],
        anchors: int,
        training_proposals: int,
        proposals: int,
    ) -> None:
        """Build the network with random weights.

        Args:
            channels: Channels of the map.
            sizes: Sizes of the anchors, pixels.
            anchors: Anchors an image that the losses are taken over (256).
            training_proposals: Proposals an image in training (2,000).
            proposals: Proposals an image in testing (1,000).
        """
        wanted = {"training": training_proposals, "testing": proposals}
        super().__init__(
            GridAnchors(sizes),
            RPNHead(channels, len(sizes) * len(ASPECT_RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=anchors,
            positive_fraction=0.5,
            pre_nms_top_n={mode: count * _BEFORE_SUPPRESSION for mode, count in wanted.items()},
            post_nms_top_n=wanted,
            nms_thresh=0.7,
        )
        self.anchors = anchors

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],  # noqa: ARG002
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Best proposals of every image.

        Args:
            proposals: float (N, H * W * A, 4).
            objectness: Logits, float (N * H * W * A, 1).
            image_shapes: Height and width of every image.
            num_anchors_per_level: Not needed: there is one level.

        Returns:
            Boxes and logits of every image by falling logit.
        """
        scores = objectness.detach().view(len(proposals), -1)
        scores, best = scores.topk(min(self.pre_nms_top_n(), scores.shape[1]), dim=1)
        candidates = proposals.gather(1, best[..., None].expand(-1, -1, 4))
        boxes, logits = [], []
        for own, score, shape in zip(candidates, scores, image_shapes, strict=True):
            clipped = clip_boxes_to_image(own, shape)
            filled = ((clipped[:, 2:] - clipped[:, :2]) > 0).all(dim=1)
            clipped, score = clipped[filled], score[filled]
            kept = suppress(clipped, score, None, self.nms_thresh)[: self.post_nms_top_n()]
            boxes.append(clipped[kept])
            logits.append(score[kept])
        return boxes, logits

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Losses of objectness and boxes.

        Args:
            objectness: Logits, float (N * H * W * A, 1).
            pred_bbox_deltas: float (N * H * W * A, 4).
            labels: Of every image: 1 object, 0 background, -1 neither.
            regression_targets: Of every image, float (H * W * A, 4).

        Returns:
            Two scalars.
        """
        positives, negatives = (torch.cat(chosen) > 0 for chosen in self.fg_bg_sampler(labels))
        sampled = positives | negatives
        every = self.anchors * len(labels)
        targets: Any = torch.cat(labels)[sampled]
        found = functional.binary_cross_entropy_with_logits(objectness.flatten()[sampled], targets, reduction="sum")
        distance = functional.l1_loss(
            pred_bbox_deltas[positives], torch.cat(regression_targets)[positives], reduction="sum"
        )
        return found / every, distance / every
