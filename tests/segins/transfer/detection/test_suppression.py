import numpy as np
import pytest
import torch

from pipeline_lib.base.torchvision_import import _suppress
from pipeline_lib.segins.transfer.detection.suppression import suppress


def naive(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        shared = width * height
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[row], boxes[other]) <= threshold for other in kept):
            kept.append(int(row))
    return kept


def random_boxes(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 80, (count, 2), generator=draw)
    size = torch.randint(4, 40, (count, 2), generator=draw)
    # Few distinct scores: ties must keep their order.
    scores = torch.randint(0, 50, (count,), generator=draw) / 50
    return torch.cat([corner, corner + size], dim=1).float(), scores


@pytest.mark.parametrize("count", [0, 1, 40, 700])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_the_blocked_kernel_keeps_what_the_naive_one_keeps(count: int, threshold: float) -> None:
    boxes, scores = random_boxes(count, count)
    expected = naive(boxes.double().numpy(), scores.numpy(), threshold)
    assert _suppress(boxes, scores, threshold).tolist() == expected
    assert suppress(boxes, scores, None, threshold).tolist() == expected


def test_groups_do_not_suppress_each_other() -> None:
    boxes, scores = random_boxes(200, 3)
    groups = torch.arange(200) % 3
    kept = suppress(boxes, scores, groups, 0.5)
    own = []
    for group in range(3):
        rows = (groups == group).nonzero()[:, 0]
        own += [int(rows[i]) for i in naive(boxes[rows].double().numpy(), scores[rows].numpy(), 0.5)]
    assert sorted(kept.tolist()) == sorted(own)
    assert (scores[kept][1:] <= scores[kept][:-1]).all()
