from contextlib import nullcontext

import pytest
import torch
from pretraining_settings import moco_settings, pretrain_settings, segins_settings, simsiam_settings
from torch import nn

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import start
from pipeline_lib.segins.pretraining.batch_norm import SplitBatchNorm2d
from pipeline_lib.segins.pretraining.method import Setup
from pipeline_lib.segins.pretraining.moco import KeyQueue, MoCo
from pipeline_lib.segins.pretraining.network import SegmentationBranch
from pipeline_lib.segins.pretraining.run import branch_side, build_method
from pipeline_lib.segins.pretraining.views import Views

CPU = torch.device("cpu")


def test_the_branch_is_its_layers_one_after_the_other():
    torch.manual_seed(0)
    branch = SegmentationBranch(6).double()
    features = torch.randn(3, 6, 4, 4).double()
    expected = branch.prediction(branch.deconvolution(branch.projection(features)))
    found = branch(features)
    assert found.shape == (3, 1, 8, 8)
    torch.testing.assert_close(found, expected)
    gradients = []
    for output in (found, expected):
        branch.zero_grad()
        output.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in branch.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-6)
    convolutions = [layer for layer in branch.projection if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [12, 12]


@pytest.mark.parametrize(
    ("size", "stage", "side"), [(224, "res4", 28), (64, "res4", 8), (64, "res5", 4), (48, "res4", 6)]
)
@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_the_branch_has_twice_its_stages_resolution(architecture, size, stage, side):
    fabric = start("cpu")
    settings = pretrain_settings(architecture=architecture, global_size=size)
    method = build_method(fabric, settings, "simsiam", simsiam_settings(), segins_settings(stage=stage), 0)
    method.network.eval()
    with torch.no_grad():
        _, _, (logits,) = method.network([torch.zeros(1, 3, size, size)], 1)
    assert logits.shape[-2:] == (side, side)
    assert branch_side(size, stage) == side


def test_simsiams_parts_are_those_of_the_paper():
    method = build_method(
        start("cpu"), pretrain_settings(), "simsiam", simsiam_settings(projector=24, predictor=6), None, 0
    )
    network = method.network
    shapes = {name: tuple(value.shape) for name, value in network.projector.state_dict().items() if value.ndim}
    assert [shapes[f"{i}.weight"] for i in (0, 3, 6)] == [(512, 512), (512, 512), (24, 512)]
    assert "7.weight" not in shapes  # no scale and shift
    assert [tuple(p.shape) for p in network.predictor.parameters()] == [(6, 24), (6,), (6,), (24, 6), (24,)]
    assert float(network.backbone.layer3[0].bn2.weight.detach().abs().max()) == 0  # zero_init_residual
    other = build_method(
        start("cpu"), pretrain_settings(), "simsiam", simsiam_settings(zero_init_residual=False), None, 0
    )
    assert torch.all(other.network.backbone.layer3[0].bn2.weight == 1)
    decaying, constant = method.parameter_groups()
    assert (decaying["constant"], constant["constant"]) == (False, True)
    assert {id(p) for p in constant["params"]} == {id(p) for p in network.predictor.parameters()}
    counted = len(decaying["params"]) + len(constant["params"])
    assert counted == len(list(network.parameters())) - 1  # the bias before the last normalisation stays at its start


def test_automatic_weight_of_the_segmentation_loss_is_the_thesis():
    for name, own, expected in (("simsiam", simsiam_settings(), 1.0), ("moco", moco_settings(), 2.0)):
        method = build_method(start("cpu"), pretrain_settings(), name, own, segins_settings(), 0)
        logits = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)]
        masks = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)]
        losses = method.combined(torch.tensor(0.5), torch.eye(2), logits, masks)
        torch.testing.assert_close(losses.total, 0.5 + expected * losses.segmentation)


def test_parts_of_a_batch_are_normalised_apart():
    torch.manual_seed(0)
    split, apart = SplitBatchNorm2d(4, 2), [nn.BatchNorm2d(4) for _ in range(2)]
    inputs = torch.randn(6, 4, 3, 3) * torch.arange(1, 7).view(-1, 1, 1, 1)
    expected = torch.cat([norm(part) for norm, part in zip(apart, inputs.chunk(2), strict=True)])
    torch.testing.assert_close(split(inputs), expected)
    torch.testing.assert_close(split.running_mean, (apart[0].running_mean + apart[1].running_mean) / 2)
    torch.testing.assert_close(split.running_var, (apart[0].running_var + apart[1].running_var) / 2)
    assert int(split.num_batches_tracked) == 1
    plain = nn.BatchNorm2d(4)
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(inputs), plain.eval()(inputs))


def moco(**changes):
    torch.manual_seed(0)
    settings = pretrain_settings()
    return build_method(start("cpu"), settings, "moco", moco_settings(**changes), None, 0)


def test_keys_come_back_in_the_order_of_their_queries():
    method = moco(splits=1)
    assert isinstance(method, MoCo)
    method.network.eval()
    method.key_network.eval()
    images = torch.randn(6, 3, 32, 32)
    keys, stage_map, order = method._keys(images, torch.Generator().manual_seed(3))
    with torch.no_grad():
        embeddings, _, maps = method.key_network.encode(images)
    torch.testing.assert_close(keys, nn.functional.normalize(embeddings, dim=1), atol=1e-5, rtol=1e-5)
    assert sorted(order.tolist()) == list(range(6))
    assert order.tolist() != list(range(6))
    torch.testing.assert_close(stage_map, maps[order], atol=1e-4, rtol=1e-4)


def test_the_key_encoder_gets_no_gradient_and_the_queue_takes_the_batch():
    method = moco()
    before = method.queue.keys.clone()
    views = Views([torch.randn(8, 3, 32, 32) for _ in range(3)], [])
    losses = method.losses(method.network, views, True, torch.Generator().manual_seed(0))
    losses.total.backward()
    assert all(parameter.grad is None for parameter in method.key_network.parameters())
    assert torch.equal(method.queue.keys, before)
    method.after_batch()
    assert not torch.equal(method.queue.keys[:, :8], before[:, :8])
    assert torch.equal(method.queue.keys[:, 8:], before[:, 8:])


def test_the_queue_wraps():
    queue = KeyQueue.random(4, 6, seed=0)
    torch.testing.assert_close(queue.keys.norm(dim=0), torch.ones(6))
    for start_value in (1.0, 2.0, 3.0, 4.0):
        queue.enqueue(torch.full((2, 4), start_value))
    assert queue.keys[0].tolist() == [4, 4, 2, 2, 3, 3]
    assert queue.pointer == 2


@pytest.mark.parametrize(
    ("changes", "sizes", "complaint"),
    [
        ({"queue": 100}, (64, 1, 1), "moco.queue = 100: must be a multiple of the batch of 64"),
        ({"queue": 64, "splits": 3}, (64, 1, 1), "moco.splits = 3: the 64 images that a process works on at a time"),
        ({"queue": 64, "splits": 8}, (8, 1, 1), "into 8 equal groups of 2 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(changes, sizes, complaint):
    with pytest.raises(UserError) as raised:
        MoCo.check(
            Setup("resnet18", "res4", None, torch.device("cpu"), nullcontext, *sizes, 0), moco_settings(**changes)
        )
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def batches_of_views(count, size=8):
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        images = [torch.randn(size, 3, 32, 32, generator=generator) for _ in range(2)]
        yield Views(images, [])


def test_the_queue_starts_with_the_keys_of_training_images():
    method = moco(queue=32, splits=1)
    method.before_training(batches_of_views(9))
    expected = moco(queue=32, splits=1)
    for views in batches_of_views(4):
        keys, _, _ = expected._keys(views.images[1], torch.Generator().manual_seed(0))
        expected.queue.enqueue(keys)
    torch.testing.assert_close(method.queue.keys, expected.queue.keys)
    assert method.queue.pointer == 0


def test_a_queue_longer_than_the_epoch_repeats_its_keys():
    method = moco(queue=40)
    method.before_training(batches_of_views(2))
    torch.testing.assert_close(method.queue.keys[:, 16:32], method.queue.keys[:, :16])
    torch.testing.assert_close(method.queue.keys[:, 32:], method.queue.keys[:, :8])
    assert method.queue.pointer == 16


def test_a_random_queue_is_left_as_the_reference_starts_it():
    method = moco(queue_start="random")
    before = method.queue.keys.clone()
    method.before_training(batches_of_views(9))
    assert torch.equal(method.queue.keys, before)
