import numpy as np
import pytest
import torch

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.features import dinov2_inputs, feature_input

COLUMNS = {"cls": (0, 4), "patch_mean": (4, 8), "cls_-2": (8, 12), "cls_-3": (12, 16), "cls_-4": (16, 20)}


def test_inputs_are_those_of_the_peer(golden):
    arrays = golden("10_dinov2_linear_input_tiny")
    tokens, patches = arrays["in_class_tokens"], arrays["in_patch_tokens"]
    stored = np.concatenate([tokens[3], patches[3].mean(axis=1), tokens[2], tokens[1], tokens[0]], axis=1)
    inputs = dinov2_inputs(COLUMNS)
    names = ["out_blocks1_avgpool0", "out_blocks1_avgpool1", "out_blocks4_avgpool0", "out_blocks4_avgpool1"]
    for one, name in zip(inputs, names, strict=True):
        taken = one.take(torch.from_numpy(stored))
        assert one.dimension == arrays[name].shape[1]
        np.testing.assert_allclose(taken.numpy(), arrays[name], rtol=0, atol=1e-6)


def test_inputs_follow_the_blocks_at_hand():
    assert [one.name for one in dinov2_inputs({"cls": (0, 2)})] == ["cls"]
    assert [one.name for one in dinov2_inputs({"cls": (0, 2), "patch_mean": (2, 4)})] == ["cls", "cls+patch_mean"]
    assert [one.name for one in dinov2_inputs({"cls": (0, 2), "cls_-2": (2, 4)})] == ["cls", "cls_-2+cls"]
    assert [one.name for one in dinov2_inputs({"pooled": (0, 3), "other": (3, 5)})] == ["pooled+other"]


def test_neighbouring_columns_are_not_copied():
    rows = torch.arange(40.0).view(2, 20)
    view = feature_input(("cls", "patch_mean", "cls_-2"), COLUMNS).take(rows)
    assert view.data_ptr() == rows.data_ptr()
    assert torch.equal(view, rows[:, :12])
    apart = feature_input(("cls_-2", "cls"), COLUMNS).take(rows)
    assert torch.equal(apart, torch.cat([rows[:, 8:12], rows[:, :4]], dim=1))


def test_unknown_block_is_refused():
    with pytest.raises(UserError, match="cls_-9"):
        feature_input(("cls_-9",), COLUMNS)
