import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from head_settings import SETTINGS

from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.heads import training
from pipeline_lib.ucls.heads.alignment import matching_order
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.inference import assign_in_blocks, restored_classifier
from pipeline_lib.ucls.heads.model import HeadShape
from pipeline_lib.ucls.heads.pairs import PairSampler
from pipeline_lib.ucls.heads.schedules import Schedule
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer

PLAIN_TEMI = {
    "input": "none",
    "symmetric": True,
    "sinkhorn_iterations": 0,
    "cross_entropy": 0.0,
    "neighbors_per_image": 1,
    "frozen_prototype_epochs": 1,
    "teacher_momentum": 0.9,
}


class Blobs:
    """Four Gaussian classes of 64 points; a neighbour is any point of the same class."""

    count, dimension = 256, 8

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.labels = np.arange(256) % 4
        centres = 3 * np.eye(8, dtype=np.float32)[:4]
        self.values = centres[self.labels] + generator.normal(0, 0.4, (256, 8)).astype(np.float32)
        self.members = np.stack([np.flatnonzero(self.labels == c) for c in range(4)])

    def rows(self, indices):
        return self.values[indices]

    def draw(self, rows, uniforms):
        return np.take_along_axis(self.members[self.labels[rows]], (uniforms * 64).astype(np.int64), axis=1)


def trainer(seed=0, device="cpu", **changes) -> HeadTrainer:
    blobs = Blobs()
    settings = HeadSettings(**(SETTINGS | changes))
    fabric = runtime.start(device, "float32", seed)
    shape = HeadShape.of(settings, 8, 256, 4)
    sampler = PairSampler(256, settings.batch_size, settings.neighbors_per_image, blobs.draw, seed)
    return HeadTrainer(fabric, settings, shape, sampler, FeatureRows(blobs, fabric.device, 1 << 20))


def purity(labels: np.ndarray, truth: np.ndarray) -> float:
    return sum(np.bincount(truth[labels == c]).max() for c in np.unique(labels)) / len(truth)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        PLAIN_TEMI,
        {"loss": "scan"},
        {"symmetric": True},
        {"prior_views": "neighbors"},
        {"precision": "bfloat16"},
        {"class_prior": "estimated"},
        {"balance": 0.5},
        {"alignment": 1.0},
    ],
    ids=str,
)
def test_finds_separable_classes_with_every_objective(changes):
    trained = trainer(**changes).run()
    blobs = Blobs()
    labels = trained.teacher(torch.from_numpy(blobs.values)).argmax(-1).numpy()[trained.best_head]
    assert len(np.unique(labels)) == 4
    assert purity(labels, blobs.labels) > 0.97
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_aligned_heads_number_the_classes_alike():
    trained = trainer(alignment=1.0).run()
    heads = trained.teacher(torch.from_numpy(Blobs().values)).argmax(-1).numpy()
    assert all((head == heads[0]).mean() > 0.97 for head in heads)


EVERYTHING_KEPT = {"components": 5, "alignment": 1.0, "class_prior": "estimated"}


def test_heads_trained_in_bfloat16_meet_on_every_image(monkeypatch):
    seen = []

    def order(met):
        seen.append(met)
        return matching_order(met)

    monkeypatch.setattr(training, "matching_order", order)
    made = trainer(alignment=1.0, precision="bfloat16", iterations=16, sinkhorn_iterations=0)
    made.run()
    images = made.schedule.steps * made.sampler.batch_size
    assert seen
    for met in seen:
        # Probabilities sum to one for both heads, so that each image adds one to each head's table.
        np.testing.assert_allclose(met.double().sum(dim=(1, 2)), images, rtol=1e-4)


def test_interrupted_and_resumed_training_gives_the_same_bits(tmp_path):
    whole = trainer(iterations=24, **EVERYTHING_KEPT).run()

    class KilledError(Exception):
        pass

    def stop_after_three(running: HeadTrainer) -> None:
        if running.epoch == 3:
            torch.save(running.state(), tmp_path / "state.pt")
            raise KilledError

    with pytest.raises(KilledError):
        trainer(iterations=24, **EVERYTHING_KEPT).run(after=stop_after_three)
    resumed = trainer(iterations=24, **EVERYTHING_KEPT)
    resumed.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.epoch == 3
    again = resumed.run()
    for module in ("student", "teacher"):
        for name, value in getattr(whole, module).state_dict().items():
            assert torch.equal(value, getattr(again, module).state_dict()[name]), name
    assert whole.history == again.history
    assert torch.equal(whole.head_loss, again.head_loss)


def test_frozen_prototypes_do_not_move_in_the_first_epoch():
    running = trainer(frozen_prototype_epochs=1, iterations=8)
    before = running.plain_student.prototypes.detach().clone()
    running._one_epoch()
    assert torch.equal(running.plain_student.prototypes, before)
    running._one_epoch()
    assert not torch.equal(running.plain_student.prototypes, before)


def test_a_loss_that_is_not_finite_stops_with_one_line():
    running = trainer(iterations=8)
    with torch.no_grad():
        running.plain_student.hidden_weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"train_heads\.learning_rate"):
        running.run()


def test_the_schedule_scales_rates_by_the_batch_and_rounds_up_to_whole_epochs():
    settings = HeadSettings(**(SETTINGS | {"iterations": 10, "learning_rate": 1e-3, "warmup": 0.25}))
    schedule = Schedule.of(settings, steps=4, batch_size=1024)
    assert (schedule.epochs, schedule.iterations, schedule.warmup) == (3, 12, 3)
    assert schedule.peak_rate == pytest.approx(4e-3)
    fixed = Schedule.of(settings.model_copy(update={"epochs": 7, "teacher_momentum": 0.5}), 4, 1024)
    assert (fixed.epochs, fixed.teacher_momentum) == (7, 0.5)


def test_assignments_in_blocks_equal_one_pass_of_the_teacher():
    trained = trainer(iterations=8).run()
    blobs = Blobs()
    shape = dict(vars(trained.teacher.shape))
    restored = restored_classifier(shape, trained.teacher.state_dict(), torch.device("cpu"))
    options = {"temperature": 0.1, "block_rows": 100, "device": torch.device("cpu")}
    logits = trained.teacher(torch.from_numpy(blobs.values)).detach()
    best = list(assign_in_blocks(restored, blobs, np.arange(256), probabilities="best", best_head=1, **options))
    np.testing.assert_array_equal(np.concatenate([b[1] for b in best], axis=1), logits.argmax(-1))
    expected = (logits[1] / 0.1).softmax(-1)
    np.testing.assert_allclose(np.concatenate([b[2] for b in best]), expected, atol=1e-5)
    every = list(assign_in_blocks(restored, blobs, np.arange(256), probabilities="all", best_head=1, **options))
    assert every[0][2].shape == (3, 100, 4)
    bare = list(assign_in_blocks(restored, blobs, np.arange(256), probabilities="none", best_head=1, **options))
    np.testing.assert_array_equal(np.concatenate([b[1] for b in bare], axis=1), logits.argmax(-1))
    assert all(b[2] is None for b in bare)


PROCESS = """
import json, sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_training import trainer
running = trainer(iterations=16, **json.loads({changes!r}))
history = running.run().history
if running.fabric.is_global_zero:
    print(json.dumps([row["head_loss"] for row in history]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"loss": "scan", "symmetric": True}], ids=str)
def test_two_processes_give_the_losses_of_one(tmp_path, changes):
    here = Path(__file__).resolve()
    script = tmp_path / "run.py"
    script.write_text(PROCESS.format(tests=str(here.parent), root=str(here.parents[3]), changes=json.dumps(changes)))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    outputs = []
    for command in ([sys.executable], launcher):
        done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[["))))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=2e-5)
