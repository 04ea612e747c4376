import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline_lib.segins.pretraining.losses import (
    dice,
    embedding_spread,
    info_nce,
    info_nce_logits,
    segmentation_loss,
    simsiam_loss,
    smooth_dice,
    total_loss,
)
from pipeline_lib.segins.pretraining.moco import KeyQueue, follow_parameters
from pipeline_lib.segins.pretraining.simsiam import multi_crop_simsiam_loss


def tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def close(found, expected, atol=1e-9):
    torch.testing.assert_close(found.detach(), tensor(expected), atol=atol, rtol=0)


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_simsiam_gives_loss_and_gradients_of_its_authors(golden, size):
    g = golden(f"04_simsiam_{size}")
    p1, p2, z1, z2 = (tensor(g[f"in_{name}"]).requires_grad_() for name in ("p1", "p2", "z1", "z2"))
    loss = simsiam_loss(p1, p2, z1, z2)
    loss.backward()
    close(loss, g["out_loss"])
    close(p1.grad, g["out_grad_p1"])
    close(p2.grad, g["out_grad_p2"])
    assert z1.grad is None
    assert z2.grad is None


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_info_nce_and_queue_give_the_values_of_moco_over_several_steps(golden, size):
    g = golden(f"04_moco_infonce_{size}")
    queue = KeyQueue(tensor(g["in_queue"]), int(g["in_queue_ptr"]))
    temperature = float(g["in_T"])
    logits_key = "out_logits" if size == "tiny" else "out_logits_step0"
    for step, (raw_q, raw_k) in enumerate(zip(g["in_q_raw"], g["in_k_raw"], strict=True)):
        q_raw = tensor(raw_q).requires_grad_()
        queries, keys = F.normalize(q_raw, dim=1), F.normalize(tensor(raw_k), dim=1)
        if size == "tiny" or step == 0:
            logits = info_nce_logits(queries, keys, queue.keys, temperature)
            close(logits, g[logits_key][step] if size == "tiny" else g[logits_key], atol=1e-7)
        loss = info_nce(queries, keys, queue.keys, temperature)
        loss.backward()
        queue.enqueue(keys)
        close(loss, g["out_loss"][step], atol=1e-7)
        close(q_raw.grad, g["out_grad_q_raw"][step], atol=1e-7)
        assert queue.pointer == int(g["out_ptr_after"][step])
        if size == "tiny":
            close(queue.keys, g["out_queue_after"][step], atol=1e-7)
    if size == "medium":
        close(queue.keys, g["out_queue_after_last"], atol=1e-6)


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_the_key_encoder_follows_before_its_keys_are_made(golden, size):
    g = golden(f"04_moco_ema_{size}")
    query, key = (nn.Linear(g["in_x_q"].shape[1], len(g["in_q_bias"])).double() for _ in range(2))
    for layer, name in ((query, "q"), (key, "k")):
        layer.load_state_dict({part: tensor(g[f"in_{name}_{part}"]) for part in ("weight", "bias")})
    queue = KeyQueue(tensor(g["in_queue"]))
    queries = F.normalize(query(tensor(g["in_x_q"])), dim=1)
    follow_parameters(key, query, float(g["in_m"]))
    keys = F.normalize(key(tensor(g["in_x_k"])), dim=1).detach()
    close(info_nce_logits(queries, keys, queue.keys, float(g["in_T"])), g["out_logits"])
    loss = info_nce(queries, keys, queue.keys, float(g["in_T"]))
    loss.backward()
    queue.enqueue(keys)
    close(key.weight, g["out_k_weight"])
    close(key.bias, g["out_k_bias"])
    close(loss, g["out_loss"])
    close(query.weight.grad, g["out_grad_q_weight"])
    close(query.bias.grad, g["out_grad_q_bias"])
    close(queue.keys, g["out_queue"])
    assert queue.pointer == int(g["out_ptr"][0])


def test_batch_statistics_are_not_averaged_into_the_key_encoder():
    query, key = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    query.running_mean.fill_(5.0)
    query.weight.data.fill_(3.0)
    follow_parameters(key, query, 0.5)
    assert key.running_mean.tolist() == [0, 0, 0]
    assert key.weight.tolist() == [2, 2, 2]


@pytest.mark.parametrize("size", ["tiny", "medium"])
def test_dice_is_the_thesis_equation_as_printed(golden, size):
    g = golden(f"05_thesis_dice_{size}")
    each = []
    for view in ("v1", "v2"):
        logits, mask = tensor(g[f"in_logits_{view}"]).requires_grad_(), tensor(g[f"in_mask_{view}"])
        loss = segmentation_loss(logits, mask, "dice")
        loss.backward()
        close(loss, g[f"out_dice_{view}"])
        close(logits.grad, g[f"out_grad_logits_{view}"])
        close(smooth_dice(logits.sigmoid(), mask), g[f"contrast_smooth_inside_{view}"])
        each.append(loss.detach())
    segmentation = torch.stack(each).mean()
    close(segmentation, g["out_seg_loss"])
    for weight in (1, 2):
        total = total_loss(tensor(g["in_example_L_id"]), segmentation, weight)
        close(total, g[f"out_total_lambda{weight}"])


@pytest.mark.parametrize("predicted", ["empty", "full"])
@pytest.mark.parametrize("true", ["empty", "full"])
def test_dice_of_empty_and_full_masks(golden, predicted, true):
    g = golden("05_thesis_dice_tiny")
    masks = {"empty": torch.zeros(2, 1, 4, 4).double(), "full": torch.ones(2, 1, 4, 4).double()}
    # The reference names the prediction first.
    close(dice(masks[predicted], masks[true]), g[f"case_{predicted}_{true}"])


def test_bce_is_the_mean_cross_entropy_of_the_pixels():
    logits, mask = torch.randn(3, 1, 4, 4).double(), (torch.rand(3, 1, 4, 4) > 0.5).double()
    p = logits.sigmoid()
    expected = -(mask * p.log() + (1 - mask) * (1 - p).log()).mean()
    torch.testing.assert_close(segmentation_loss(logits, mask, "bce"), expected)


def test_multi_crop_averages_over_pairs_with_a_global_view():
    generator = torch.Generator().manual_seed(0)
    p, z = ([torch.randn(5, 6, generator=generator) for _ in range(4)] for _ in range(2))
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]  # not (2, 3): both are local
    expected = torch.stack([simsiam_loss(p[a], p[b], z[a], z[b]) for a, b in pairs]).mean()
    torch.testing.assert_close(multi_crop_simsiam_loss(p, z), expected)
    torch.testing.assert_close(multi_crop_simsiam_loss(p[:2], z[:2]), simsiam_loss(p[0], p[1], z[0], z[1]))


def test_spread_is_one_for_all_directions_and_zero_for_one():
    generator = torch.Generator().manual_seed(0)
    even = torch.randn(5000, 64, generator=generator)
    assert float(embedding_spread(even * torch.rand(5000, 1))) == pytest.approx(1, abs=0.02)
    assert float(embedding_spread(torch.ones(10, 64) * torch.arange(1, 11)[:, None])) == pytest.approx(0, abs=1e-6)
