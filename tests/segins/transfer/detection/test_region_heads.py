import math

import torch
from torch import nn
from torch.nn import functional

from pipeline_lib.segins.transfer.detection.region_heads import RegionHeads
from pipeline_lib.segins.transfer.detection.targets import Targets

CLASSES = 3


def heads(*, masks: bool = False, regions: int = 64) -> RegionHeads:
    torch.manual_seed(0)
    res5 = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU())
    made = RegionHeads(
        res5, 8, CLASSES, region_size=4, regions=regions, masks=masks, score_threshold=0.05, detections=5
    )
    for layer in (made.scores, made.deltas):
        nn.init.normal_(layer.weight, std=0.5)
    return made


def deltas_by_hand(box: list[float], target: list[float]) -> list[float]:
    width, height = box[2] - box[0], box[3] - box[1]
    own, other = ([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2] for b in (box, target))
    return [
        10 * (other[0] - own[0]) / width,
        10 * (other[1] - own[1]) / height,
        5 * math.log((target[2] - target[0]) / width),
        5 * math.log((target[3] - target[1]) / height),
    ]


def test_losses_by_hand() -> None:
    model = heads()
    maps = torch.randn(1, 4, 6, 6)
    target = [10.0, 10.0, 50.0, 50.0]
    near, far = [12.0, 8.0, 52.0, 48.0], [60.0, 60.0, 90.0, 90.0]
    targets = [Targets(torch.tensor([target]), torch.tensor([1]))]
    (losses,) = model.losses([maps], [model.sample([torch.tensor([near, far])], targets)], [targets])
    # The object's own box joins the proposals; all three are below the number to be sampled.
    boxes = torch.tensor([near, far, target])
    pooled = model.features(maps, [boxes]).mean(dim=(2, 3))
    labels = torch.tensor([1, CLASSES, 1])
    torch.testing.assert_close(losses["class"], functional.cross_entropy(model.scores(pooled), labels))
    deltas = model.deltas(pooled).view(3, CLASSES, 4)[[0, 2], 1]
    wanted = torch.tensor([deltas_by_hand(near, target), [0.0] * 4])
    torch.testing.assert_close(losses["box"], (deltas - wanted).abs().sum() / 3, rtol=1e-4, atol=1e-5)


def test_a_quarter_of_the_sampled_regions_is_positive() -> None:
    model = heads(regions=8)
    near = torch.tensor([[10.0, 10, 50, 50]]).repeat(20, 1) + torch.rand(20, 4)
    far = torch.tensor([[60.0, 60, 90, 90]]).repeat(20, 1)
    sampled = model._sample(torch.cat([near, far]), Targets(torch.tensor([[10.0, 10, 50, 50]]), torch.tensor([2])))
    assert len(sampled.boxes) == 8
    assert (sampled.labels == 2).sum() == 2
    assert (sampled.labels == CLASSES).sum() == 6


def test_an_image_without_objects_is_all_background() -> None:
    sampled = heads()._sample(
        torch.rand(5, 4) + torch.tensor([0.0, 0, 5, 5]), Targets(torch.zeros(0, 4), torch.zeros(0).long())
    )
    assert (sampled.labels == CLASSES).all()


def test_detections_fall_by_score_and_are_suppressed_by_class() -> None:
    model = heads().eval()
    with torch.no_grad():
        found = model.detect(
            torch.randn(2, 4, 6, 6), [torch.rand(6, 4) * 40 + torch.tensor([0.0, 0, 40, 40])] * 2, [(96, 96)] * 2
        )
        empty = model.detect(torch.randn(1, 4, 6, 6), [torch.zeros(0, 4)], [(96, 96)])
    for each in found:
        assert len(each.boxes) <= 5
        assert (each.scores[1:] <= each.scores[:-1]).all()
        assert (each.scores > 0.05).all()
        assert (each.boxes >= 0).all()
        assert (each.boxes <= 96).all()
        assert set(each.labels.tolist()) <= set(range(CLASSES))
    assert len(empty[0].boxes) == 0


def test_masks_share_the_features_of_the_positive_regions() -> None:
    model = heads(masks=True)
    masks = torch.zeros(1, 96, 96, dtype=torch.uint8)
    masks[0, 10:30, 10:50] = 1
    target = torch.tensor([[10.0, 10.0, 50.0, 50.0]])
    maps = torch.randn(1, 4, 6, 6)
    targets = [Targets(target, torch.tensor([2]), masks)]
    (losses,) = model.losses([maps], [model.sample([torch.zeros(0, 4)], targets)], [targets])
    assert model.masks is not None
    logits = model.masks(model.features(maps, [target]), torch.tensor([2]))  # (1, 4, 4)
    wanted = torch.tensor([[1.0] * 4, [1.0] * 4, [0.0] * 4, [0.0] * 4])[None]
    torch.testing.assert_close(losses["mask"], functional.binary_cross_entropy_with_logits(logits, wanted))
    found = model.eval().detect(maps, [target], [(96, 96)])[0]
    assert found.masks is not None
    assert found.masks.shape == (len(found.boxes), 4, 4)
