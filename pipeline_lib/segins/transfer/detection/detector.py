"""The detector: a ResNet up to res4, region proposals, and res5 on every region (Faster R-CNN with a C4 backbone)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.segins.resnet.build import build_resnet, load_backbone, stage_channels
from pipeline_lib.segins.resnet.groups import maps_of_groups
from pipeline_lib.segins.transfer.detection.proposals import ProposalNetwork
from pipeline_lib.segins.transfer.detection.region_heads import Found, RegionHeads
from pipeline_lib.segins.transfer.detection.targets import ImageGroup, Targets
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

    def forward(self, groups: Sequence[ImageGroup]) -> dict[str, Tensor]:
        """Losses of a training batch.

        Batch normalisation sees all groups at once; each group draws anchors and regions by its own seed and has losses
        of its own, whose means are given, as detectron2 has them of its devices.

        Args:
            groups: Images with their objects, on the detector's device.

        Returns:
            Scalars by name.
        """
        maps = maps_of_groups(self.backbone, [group.images for group in groups])  # (N, C, H / 16, W / 16) each
        losses, sampled = [], []
        for group, own in zip(groups, maps, strict=True):
            torch.manual_seed(group.seed)
            proposals, found = self._proposed(own, group.images, group.sizes, group.targets)
            losses.append({"objectness": found["loss_objectness"], "proposal_box": found["loss_rpn_box_reg"]})
            sampled.append(self.heads.sample(proposals, group.targets))
        of_regions = self.heads.losses(maps, sampled, [group.targets for group in groups])
        each = [one | other for one, other in zip(losses, of_regions, strict=True)]
        return {name: torch.stack([own[name] for own in each]).mean() for name in each[0]}

    def detect(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """Detections of every image, in evaluation mode.

        Args:
            images: Normalised and padded, float (N, 3, H, W).
            sizes: Height and width of every image without the padding.
        """
        maps = self.backbone(images)  # (N, C, H / 16, W / 16)
        proposals, _ = self._proposed(maps, images, sizes, None)
        return self.heads.detect(maps, proposals, sizes)

    def _proposed(
        self, maps: Tensor, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        boxes = None if targets is None else [{"boxes": each.boxes} for each in targets]
        found: tuple[list[Tensor], dict[str, Tensor]] = self.proposals(ImageList(images, sizes), {"res4": maps}, boxes)
        return found


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
