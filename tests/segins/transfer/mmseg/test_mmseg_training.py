"""Against mmsegmentation itself, where the extra ``mmseg`` is installed."""

import importlib
import importlib.util

import numpy as np
import pytest
import torch
from mmseg_kit import settings, write_data, write_start

from pipeline_lib.base.errors import UserError
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.mmseg.configuration import mmseg_configuration, write_configuration
from pipeline_lib.segins.transfer.mmseg.trainer import loaded_configuration, train_with_mmseg
from pipeline_lib.segins.transfer.mmseg.voc_folder import write_voc_folder
from pipeline_lib.segins.transfer.mmseg.weights import write_weights
from pipeline_lib.segins.transfer.segmentation.inference import evaluate_maps, predicted_maps
from pipeline_lib.segins.transfer.segmentation.model import build_segmenter
from pipeline_lib.segins.transfer.segmentation.samples import rows_with_maps
from pipeline_lib.segins.transfer.segmentation.training import learning_rate, segmentation_loss

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("mmseg") is None, reason="mmsegmentation (the extra mmseg) is not installed"
    ),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("mmseg")
    checkpoint, data = write_start(root / "start"), write_data(root)
    write_weights(root / "weights.pth", checkpoint)
    folder = write_voc_folder(root / "voc", *data)
    for frozen, name in ((True, "frozen"), (False, "fine_tuned")):
        values = mmseg_configuration(
            checkpoint, settings(), folder, root / "weights.pth", frozen=frozen, seed=0, workers=0
        )
        write_configuration(root / f"{name}.py", values)
    return root, checkpoint, data


def built(root, checkpoint, name):
    """The model of mmsegmentation with the exported weights, and ours with the same linear layer."""
    configuration = loaded_configuration(root / f"{name}.py")
    theirs = importlib.import_module("mmseg.registry").MODELS.build(configuration.model)
    theirs.init_weights()
    ours = build_segmenter("resnet50", checkpoint.backbone(), 3, "test", frozen=name == "frozen")
    torch.nn.init.normal_(theirs.decode_head.conv_seg.weight, std=0.1)
    torch.nn.init.normal_(theirs.decode_head.conv_seg.bias)
    ours.classifier.load_state_dict(theirs.decode_head.conv_seg.state_dict())
    return theirs, ours


def test_every_exported_tensor_is_loaded_and_nothing_of_the_backbone_is_new(exported):
    root, checkpoint, _ = exported
    theirs, _ = built(root, checkpoint, "frozen")
    weights, loaded = checkpoint.backbone(), theirs.backbone.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)
    assert set(dict(theirs.decode_head.named_parameters())) == {"conv_seg.weight", "conv_seg.bias"}
    assert not any(parameter.requires_grad for parameter in theirs.backbone.parameters())


def test_scores_of_the_same_weights_are_equal(exported):
    root, checkpoint, _ = exported
    theirs, ours = built(root, checkpoint, "frozen")
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    metas = [{"img_shape": (64, 96), "ori_shape": (64, 96), "pad_shape": (64, 96)}] * 2
    with torch.no_grad():
        expected = theirs.eval().encode_decode(images, metas)
        found = ours.eval()(images)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["frozen", "fine_tuned"])
def test_losses_and_gradients_of_the_same_batch_are_equal(exported, name):
    root, checkpoint, _ = exported
    theirs, ours = built(root, checkpoint, name)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    targets = torch.randint(0, 3, (2, 64, 64), generator=generator)
    targets[:, 40:] = 255
    structures = importlib.import_module("mmseg.structures").SegDataSample
    pixel_data = importlib.import_module("mmengine.structures").PixelData
    samples = [structures(gt_sem_seg=pixel_data(data=target[None])) for target in targets]
    expected = theirs.train().loss(images, samples)["decode.loss_ce"]
    found = segmentation_loss(ours.train()(images), targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    torch.autograd.backward([found, expected])
    pairs = [(ours.classifier.weight, theirs.decode_head.conv_seg.weight)]
    if name == "fine_tuned":
        pairs.append((ours.backbone.conv1.weight, theirs.backbone.conv1.weight))
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-5 * float(other.grad.abs().max()))


def test_rates_are_those_of_its_polynomial_decay(exported):
    root, _, _ = exported
    configuration = loaded_configuration(root / "frozen.py")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=configuration.optim_wrapper.optimizer.lr)
    decay = dict(configuration.param_scheduler[0]) | {"end": 50}
    schedule = getattr(importlib.import_module("mmengine.optim"), decay.pop("type"))(optimizer, **decay)
    # Its last step has the lowest rate already; ours reaches it after the last step.
    section = settings(iterations=49, learning_rate=configuration.optim_wrapper.optimizer.lr)
    for step in range(50):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(learning_rate(step, section), rel=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", ["frozen", "fine_tuned"])
def test_its_trainer_runs_evaluates_as_we_do_and_goes_on(exported, name):
    root, checkpoint, (dataset, objects) = exported
    found = train_with_mmseg(root / f"{name}.py", root / name)
    state = torch.load(root / name / "iter_3.pth", weights_only=False)["state_dict"]
    start = checkpoint.backbone()
    unchanged = all(torch.equal(state[f"backbone.{key}"], start[key]) for key in start)
    assert unchanged == (name == "frozen")
    ours = build_segmenter("resnet50", start, 3, "test", frozen=True)
    ours.backbone.load_state_dict({key: state[f"backbone.{key}"] for key in ours.backbone.state_dict()})
    ours.classifier.load_state_dict({key: state[f"decode_head.conv_seg.{key}"] for key in ("weight", "bias")})
    rows = rows_with_maps(dataset, objects, "val")
    normalisation = Normalisation(checkpoint.mean, checkpoint.std)
    maps = predicted_maps(ours, dataset, "val", rows, normalisation, 64, torch.device("cpu"))
    measures = evaluate_maps(maps, dataset, objects, "val", 3, lambda *_: None).measures()
    # Theirs are percentages of two decimals.
    np.testing.assert_allclose(
        [found["mIoU"], found["aAcc"]], [100 * measures["miou"], 100 * measures["pixel_acc"]], atol=0.02
    )
    written = (root / name / "iter_3.pth").stat().st_mtime_ns
    assert train_with_mmseg(root / f"{name}.py", root / name) == found
    assert (root / name / "iter_3.pth").stat().st_mtime_ns == written


def test_a_batch_that_the_processes_cannot_share_is_refused(exported, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match=r"segmentation\.batch_size = 2: not a multiple of 4 processes"):
        loaded_configuration(exported[0] / "frozen.py")
    monkeypatch.setenv("WORLD_SIZE", "2")
    shared = loaded_configuration(exported[0] / "frozen.py")
    assert (shared.train_dataloader.batch_size, shared.launcher) == (1, "pytorch")
    assert shared.model.backbone.norm_cfg.type == "SyncBN"
