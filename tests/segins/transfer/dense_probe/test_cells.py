import numpy as np
import pytest
import torch

from pipeline_lib.segins.resnet.build import build_resnet, stage_maps
from pipeline_lib.segins.transfer.dense_probe.cells import cell_features, object_shares, pixel_scores


def test_features_are_those_of_three_stages_at_res4_s_resolution():
    torch.manual_seed(0)
    model = build_resnet("resnet18").eval()
    images = torch.randn(2, 3, 80, 112)
    found = cell_features(model, images)
    maps = stage_maps(model, images)
    assert found.shape == (2, 128 + 256 + 512, 5, 7)
    # 10 × 14 positions to 5 × 7 cells.
    torch.testing.assert_close(found[:, :128, 2, 3], maps["res3"][:, :, 4:6, 6:8].mean(dim=(2, 3)))
    torch.testing.assert_close(found[:, 128:384], maps["res4"])
    # Of 3 × 4 positions to 5 × 7 cells: the corners stay as they are.
    torch.testing.assert_close(found[:, 384:, 0, 0], maps["res5"][:, :, 0, 0])
    torch.testing.assert_close(found[:, 384:, -1, -1], maps["res5"][:, :, -1, -1])


def test_shares_are_of_the_pixels_that_count():
    truth = np.zeros((8, 12), dtype=np.uint8)
    truth[:4, :2] = 3
    truth[:4, 2] = 255
    truth[4:, 8:] = 255
    shares, counted = object_shares(truth, 2, 3)
    assert shares.tolist() == [[pytest.approx(2 / 3), 0, 0], [0, 0, 0]]
    assert counted.tolist() == [[0.75, 1, 1], [1, 1, 0]]


def test_scores_grow_to_the_image_s_size():
    scores = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    grown = pixel_scores(scores, 2, 4)
    np.testing.assert_allclose(grown, [[0, 0.25, 0.75, 1], [0, 0.25, 0.75, 1]])
