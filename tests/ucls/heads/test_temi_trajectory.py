"""The trainer against a whole short training of TEMI's own code, in float64 (golden 11_temi_trajectory)."""

import json

import numpy as np
import pytest
import torch
from head_settings import SETTINGS
from lightning_fabric import Fabric

from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer

PARAMETERS = {
    "hidden_weight": "hidden_weight",
    "hidden_bias": "hidden_bias",
    "bottleneck_weight": "bottleneck_weight",
    "bottleneck_bias": "bottleneck_bias",
    "prototypes": "prototype_direction",
    "prototype_length": "prototype_length",
}
TOLERANCE = {"cpu": 1e-13, "cuda": 1e-10}


class Rows:
    """The features in float64."""

    def __init__(self, values: np.ndarray, device: torch.device) -> None:
        self.values = torch.from_numpy(values).double().to(device)

    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        return self.values[torch.from_numpy(indices).to(self.values.device)]


class RecordedPairs:
    """The pairs that the reference drew, step by step."""

    seed = 0

    def __init__(self, images: np.ndarray, neighbors: np.ndarray, batches: int) -> None:
        self.images, self.neighbors, self.batches = images, neighbors, batches
        self.batch_size = images.shape[1]

    def epoch(self, epoch: int, *_: int):
        for step in range(epoch * self.batches, (epoch + 1) * self.batches):
            yield self.images[step], self.neighbors[step][:, None]


class RecordingTrainer(HeadTrainer):
    """Keeps what every step saw and found."""

    def step(self, iteration, images, neighbors):
        losses = super().step(iteration, images, neighbors)
        self.losses.append(losses.cpu().numpy())
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.priors.append(self.objective.prior.cpu().numpy())
        return losses


@pytest.fixture(scope="module")
def reference(golden, repository):
    told = json.loads((repository / "tests" / "golden" / "11_temi_trajectory.json").read_text())
    return told, golden("11_temi_trajectory")


def settings_of(told: dict) -> HeadSettings:
    own = {
        "input": "none",
        "sinkhorn_iterations": 0,
        "cross_entropy": 0.0,
        "neighbors_per_image": 1,
        "prior_views": "both",
        "student_temperature": told["temperature"],
        "teacher_temperature": told["temperature"],
        # The reference's settings are for a batch as it is, ours for one of 256.
        "learning_rate": told["learning_rate"] * 256 / told["batch"],
        "final_learning_rate": told["final_learning_rate"] * 256 / told["batch"],
        "warmup": told["warmup_epochs"] / told["epochs"],
        "batch_size": told["batch"],
    }
    same = ("heads", "hidden", "bottleneck", "epochs", "beta", "symmetric", "instance_weights", "prior_momentum")
    same += ("teacher_momentum", "frozen_prototype_epochs", "weight_decay")
    return HeadSettings(**(SETTINGS | own | {name: told[name] for name in same}))


def load(module: torch.nn.Module, arrays: dict[str, np.ndarray], prefix: str) -> None:
    with torch.no_grad():
        for own, other in PARAMETERS.items():
            parameter = getattr(module, own)
            parameter.copy_(torch.from_numpy(arrays[f"{prefix}_{other}"]).view_as(parameter))


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def trained(reference, request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield trained_in_float64(*reference, request.param)
    torch.set_default_dtype(before)


def trained_in_float64(told, arrays, device):
    settings = settings_of(told)
    fabric = Fabric(accelerator=device, devices=1, precision="64-true")
    shape = HeadShape.of(settings, told["features"], len(arrays["features"]), told["classes"])
    sampler = RecordedPairs(arrays["images"], arrays["neighbors"], told["steps_per_epoch"])
    trainer = RecordingTrainer(fabric, settings, shape, sampler, Rows(arrays["features"], fabric.device))
    assert (trainer.plain_student.prototype_length == 1).all()
    assert (arrays["init_prototype_length"] == 1).all()
    # The reference starts its prior from a float32 tensor: a sixth rounded.
    trainer.objective.prior = trainer.objective.prior.float().double()
    trainer.losses, trainer.rates, trainer.priors = [], [], []
    for module in (trainer.plain_student, trainer.teacher):
        load(module, arrays, "init")
    trainer.run()
    trainer.tolerance = TOLERANCE[device]
    return trainer


def error(found, expected) -> float:
    found = np.asarray([np.asarray(value) for value in found])
    return float(np.abs(found - expected.reshape(found.shape)).max())


def test_learning_rate_of_every_step(trained, reference):
    assert error(trained.rates, reference[1]["learning_rate"]) < trained.tolerance


def test_loss_and_prior_of_every_step(trained, reference):
    assert len(trained.losses) == len(reference[1]["head_loss"]) == 48
    assert error(trained.losses, reference[1]["head_loss"]) < trained.tolerance
    assert error(trained.priors, reference[1]["prior"]) < trained.tolerance


@pytest.mark.parametrize("module", ["student", "teacher"])
@pytest.mark.parametrize("own", PARAMETERS)
def test_parameters_after_the_last_step(trained, reference, module, own):
    found = getattr(trained.plain_student if module == "student" else trained.teacher, own).detach().cpu()
    expected = reference[1][f"{module}_{PARAMETERS[own]}"]
    assert np.abs(expected - reference[1][f"init_{PARAMETERS[own]}"]).max() > 1e-3
    assert error([found], expected) < trained.tolerance


def test_best_head_is_that_of_the_reference(trained, reference):
    last_epoch = reference[1]["head_loss"][-reference[0]["steps_per_epoch"] :].mean(axis=0)
    assert int(trained.head_loss.argmin()) == int(last_epoch.argmin())
