import numpy as np
import torch

from pipeline_lib.segins.transfer.detection.masks import mask_targets, paste_masks


def test_a_full_mask_covers_its_box() -> None:
    pasted = paste_masks(torch.ones(2, 14, 14), torch.tensor([[4.0, 6.0, 24.0, 20.0], [0.0, 0.0, 5.0, 30.0]]), 30, 40)
    expected = np.zeros((2, 30, 40), bool)
    expected[0, 6:20, 4:24] = True
    expected[1, :, :5] = True
    np.testing.assert_array_equal(pasted.numpy(), expected)


def test_cropping_and_pasting_back_keeps_a_coarse_mask() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.uint8)
    mask[0, 8:18, 8:28] = 1
    box = torch.tensor([[8.0, 8.0, 28.0, 28.0]])
    cropped = mask_targets(mask, box, torch.tensor([0]), 10)
    assert cropped[0, :5].eq(1).all()
    assert cropped[0, 5:].eq(0).all()
    assert torch.equal(paste_masks(cropped, box, 40, 40), mask > 0)


def test_each_box_takes_the_mask_of_its_own_object() -> None:
    masks = torch.stack([torch.zeros(20, 20), torch.ones(20, 20)]).to(torch.uint8)
    boxes = torch.tensor([[2.0, 2.0, 10.0, 10.0]]).repeat(3, 1)
    cropped = mask_targets(masks, boxes, torch.tensor([1, 0, 1]), 4)
    assert cropped.mean(dim=(1, 2)).tolist() == [1.0, 0.0, 1.0]


def test_no_masks_give_none() -> None:
    assert paste_masks(torch.zeros(0, 14, 14), torch.zeros(0, 4), 3, 5).shape == (0, 3, 5)
