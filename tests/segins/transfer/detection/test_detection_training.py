import copy

import pytest
import torch
from torch import nn

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.detection.detector import build_detector
from pipeline_lib.segins.transfer.detection.samples import TrainingSamples
from pipeline_lib.segins.transfer.detection.training import DetectionTrainer, learning_rate, parameter_groups


@pytest.fixture
def trainer(squares, settings):
    """Makes a trainer on the squares."""
    folder = squares / "data" / "annotated" / "squares"
    checkpoint = open_checkpoint(squares / "data" / "checkpoints" / "squares" / "random")

    def make(seed=0, **changes):
        chosen = settings(**changes)
        dataset, objects = open_dataset(folder / "images"), open_objects(folder / "objects")
        samples = TrainingSamples.of(dataset, objects, Normalisation(checkpoint.mean, checkpoint.std), chosen, seed)
        detector = build_detector("resnet18", checkpoint.backbone(), 2, chosen, "here", seed)
        return DetectionTrainer(runtime.start("cpu", "float32", 0), chosen, detector, samples, 0)

    return make


def test_the_rate_grows_and_falls_as_detectron2s(settings):
    chosen = settings(iterations=24000, warmup=100, milestones=(0.75, 0.9166666667), learning_rate=0.02)
    at = {step: learning_rate(step, chosen) for step in (0, 50, 100, 17999, 18000, 21999, 22000, 23999)}
    assert at[0] == pytest.approx(0.02e-3)
    assert at[50] == pytest.approx(0.02 * (0.5 + 0.5e-3))
    assert [at[step] for step in (100, 17999, 18000, 21999, 22000, 23999)] == pytest.approx(
        [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    )


def test_normalisation_has_no_weight_decay_and_all_layers_are_trained(trainer):
    detector = trainer().detector
    decayed, free = parameter_groups(detector)
    norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in detector.modules())
    assert (decayed["weight_decay"], free["weight_decay"], len(free["params"])) == (1e-4, 0.0, 2 * norms)
    assert len(decayed["params"]) + len(free["params"]) == len(list(detector.parameters()))
    assert all(parameter.requires_grad for parameter in detector.parameters())


class StopError(Exception):
    """Interrupts a training."""


@pytest.mark.slow
def test_a_resumed_run_ends_as_an_uninterrupted_one_bit_by_bit(trainer, tmp_path):
    whole = trainer(masks=True)
    history = whole.run()

    def stop(running):
        if running.iteration == 2:
            torch.save(running.state(), tmp_path / "state.pt")
            raise StopError

    with pytest.raises(StopError):
        trainer(masks=True).run(after=stop)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = trainer(masks=True)
    resumed.resume(kept)
    assert resumed.run() == history
    for (name, a), b in zip(whole.detector.state_dict().items(), resumed.detector.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [row["iteration"] for row in history] == [1, 2, 3, 4]
    assert {"objectness", "proposal_box", "class", "box", "mask"} <= set(history[-1])


def test_an_ended_run_that_is_taken_up_again_stays_as_it_is(trainer):
    whole = trainer(masks=True)
    ends = []
    history = whole.run(after=lambda running: ends.append(copy.deepcopy(running.state())))
    expected = whole.detector.state_dict()
    # Once after the last step, before the statistics are taken anew, and once after that.
    for state in (ends[-1], copy.deepcopy(whole.state())):
        torch.manual_seed(99)
        again = trainer(masks=True)
        again.resume(state)
        assert again.run() == history
        assert all(torch.equal(value, expected[name]) for name, value in again.detector.state_dict().items())


@pytest.mark.slow
def test_the_backbone_starts_from_the_checkpoint_and_the_rest_from_the_seed(trainer, squares):
    first, second = trainer().detector.state_dict(), trainer().detector.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trainer(seed=1).detector.state_dict()
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing
    assert all(name.startswith(("proposals.", "heads.scores", "heads.deltas")) for name in differing)
    weights = open_checkpoint(squares / "data" / "checkpoints" / "squares" / "random").backbone()
    for key, value in weights.items():
        own = f"heads.res5.{key.removeprefix('layer4.')}" if key.startswith("layer4.") else f"backbone.{key}"
        assert torch.equal(first[own], value)


def test_a_loss_that_is_not_finite_names_the_rate(trainer):
    with pytest.raises(UserError, match=r"detection.learning_rate = 1e\+20: the loss is not finite"):
        trainer(learning_rate=1e20, warmup=0).run()


def test_a_checkpoint_of_another_architecture_is_refused_in_one_line(squares, settings):
    checkpoint = open_checkpoint(squares / "data" / "checkpoints" / "squares" / "random")
    with pytest.raises(UserError, match="there: not the weights of this architecture"):
        build_detector("resnet50", checkpoint.backbone(), 2, settings(), "there", 0)
