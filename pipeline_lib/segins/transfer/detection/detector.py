"""The detector: a ResNet up to res4, region proposals, and res5 on every region (Faster R-CNN with a C4 backbone)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone, stage_channels
from pipeline_lib.segins.transfer.detection.proposals import ProposalNetwork
from pipeline_lib.segins.transfer.detection.region_heads import Found, RegionHeads
from pipeline_lib.segins.transfer.detection.targets import Targets
from pipeline_lib.segins.transfer.settings import DetectionSettings

from torchvision.models.detection.image_list import ImageList  # isort: skip


class Detector(nn.Module):
    """Faster R-CNN, or Mask R-CNN with a mask head."""

    def __init__(self, architecture: str, classes: int, settings: DetectionSettings) -> None:
        """Build the detector with random weights.

        Args:
            architecture: Name of the ResNet.
            classes: Number of classes.
            settings: Sizes and numbers of anchors, proposals and regions.
        """
        super().__init__()
        backbone = build_resnet(architecture)
        channels = stage_channels(architecture)
        self.proposals = ProposalNetwork(
            channels["res4"],
            settings.anchor_sizes,
            settings.anchors,
            settings.training_proposals,
            settings.proposals,
        )
        self.heads = RegionHeads(
            backbone.get_submodule("layer4"),
            channels["res5"],
            classes,
            region_size=settings.region_size,
            regions=settings.rois,
            masks=settings.masks,
            score_threshold=settings.score_threshold,
            detections=settings.detections,
        )
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        self.backbone = nn.Sequential()
        for name in names:
            self.backbone.add_module(name, backbone.get_submodule(name))

    def forward(
        self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets] | None = None
    ) -> dict[str, Tensor] | list[Found]:
        """Losses in training, detections in testing.

        Args:
            images: Normalised and padded, float (N, 3, H, W).
            sizes: Height and width of every image without the padding.
            targets: Objects of every image, in training.

        Returns:
            Scalars by name with ``targets``, else the detections of every image.
        """
        maps = self.backbone(images)  # (N, C, H / 16, W / 16)
        boxes = None if targets is None else [{"boxes": each.boxes} for each in targets]
        proposals, losses = self.proposals(ImageList(images, sizes), {"res4": maps}, boxes)
        if targets is None:
            return self.heads.detect(maps, proposals, sizes)
        own = {"objectness": losses["loss_objectness"], "proposal_box": losses["loss_rpn_box_reg"]}
        return own | self.heads.losses(maps, proposals, targets)


def build_detector(
    architecture: str, backbone: Mapping[str, Tensor], classes: int, settings: DetectionSettings, where: str, seed: int
) -> Detector:
    """A detector whose ResNet has given weights, in torchvision's names.

    Args:
        architecture: Name of the ResNet.
        backbone: Weights without ``fc``.
        classes: Number of classes.
        settings: Settings.
        where: What to call the weights in messages.
        seed: Seed of all that is not the ResNet.

    Returns:
        The detector; all but the ResNet is random.

    Raises:
        UserError: The weights are of another architecture.
    """
    whole = build_resnet(architecture)
    load_backbone(whole, backbone, where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = Detector(architecture, classes, settings)
    state = whole.state_dict()
    stem = {key: value for key, value in state.items() if not key.startswith("layer4.")}
    detector.backbone.load_state_dict(stem)
    last = {key.removeprefix("layer4."): value for key, value in state.items() if key.startswith("layer4.")}
    detector.heads.res5.load_state_dict(last)
    return detector
