import io
import math
import pickle

import numpy as np
import pytest
import torch
from small_run import pretrainer, same_weights, weights, write_images

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.pretraining.batches import BatchOrder
from pipeline_lib.segins.pretraining.rates import cosine_rate, set_rates

METHODS = pytest.mark.parametrize("method", ["simsiam", "moco"])


@pytest.mark.slow
@METHODS
@pytest.mark.parametrize("segins", [False, True])
def test_a_run_resumed_from_any_step_ends_with_the_same_bits(tmp_path, method, segins):
    whole = pretrainer(tmp_path, method, segins, local_crops=1)
    stored = {}

    def keep(trainer):
        content = io.BytesIO()
        torch.save(trainer.state(), content)
        stored[trainer.epoch, trainer.step] = content.getvalue()

    timing = whole.run(after=keep)
    assert timing.images == 2 * 24
    assert "images/s" in timing.text()
    assert [row["epoch"] for row in whole.history] == [1, 2]
    assert all(math.isfinite(row[key]) for row in whole.history for key in ("loss", "id_loss", "seg_loss"))
    assert (whole.history[0]["seg_loss"] != 0) == segins
    for moment in [(0, 2), (1, 1)]:
        again = pretrainer(tmp_path, method, segins, local_crops=1)
        again.resume(torch.load(io.BytesIO(stored[moment]), weights_only=True))
        again.run()
        assert same_weights(weights(again), weights(whole))
        assert again.history == whole.history


@pytest.mark.slow
@METHODS
def test_worker_processes_and_memory_change_nothing(tmp_path, method):
    one, other = pretrainer(tmp_path, method), pretrainer(tmp_path, method, workers=2, memory=0)
    one.run()
    other.run()
    assert same_weights(weights(other), weights(one))


@METHODS
def test_bfloat16_trains_to_nearly_the_same_losses(tmp_path, method):
    rows = []
    for precision in ("float32", "bfloat16"):
        # One step, before differences grow.
        trainer = pretrainer(
            tmp_path,
            method,
            True,
            {"queue": 48} if method == "moco" else {},
            precision=precision,
            batch_size=24,
            epochs=1,
        )
        trainer.run()
        rows.append(trainer.history[0])
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], abs=0.05)
    assert rows[1]["loss"] != rows[0]["loss"]


def test_views_are_made_in_started_processes_too(tmp_path):
    maker = pretrainer(tmp_path, "moco", True)._maker
    rows = np.array([3, 5])
    for here, there in zip(maker.raw(1, rows).crops, pickle.loads(pickle.dumps(maker)).raw(1, rows).crops, strict=True):
        assert torch.equal(here, there)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "expected"), [("random", [8, 16, 24]), ("images", [0, 8, 16])])
def test_parts_of_a_batch_add_up_to_one_step(tmp_path, start, expected):
    trainer = pretrainer(tmp_path, "moco", True, {"queue_start": start}, accumulate=2, epochs=1)
    pointers = []
    trainer.run(after=lambda t: pointers.append(t.method.queue.pointer))
    assert pointers == expected  # of a queue of 32 keys, which the 24 images fill first or not
    assert trainer.history[0]["loss"] == pytest.approx(
        trainer.history[0]["id_loss"] + 2 * trainer.history[0]["seg_loss"], rel=1e-5
    )


def test_a_collapsed_run_says_so(tmp_path, capsys):
    trainer = pretrainer(tmp_path, "moco", epochs=1)
    last = trainer.method.network.projector[2]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.ones_(last.bias)
    trainer._optimizer.param_groups[0]["params"] = []
    trainer.run()
    assert trainer.history[-1]["collapsed"]
    assert trainer.history[-1]["embedding_std"] < 0.01
    assert capsys.readouterr().err.startswith("warning: epoch 1: the embeddings have collapsed")


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line(tmp_path):
    trainer = pretrainer(tmp_path, "moco", epochs=1)
    torch.nn.init.constant_(trainer.method.network.projector[0].weight, float("nan"))
    with pytest.raises(UserError, match="the loss is not finite in epoch 1"):
        trainer.run()


def test_brightness_is_found_by_its_neighbours(tmp_path):
    trainer = pretrainer(tmp_path, "moco", epochs=1)
    trainer.run()
    assert trainer.history[-1]["oracle_knn_acc"] == 1.0


def test_too_large_a_batch_is_refused(tmp_path):
    write_images(tmp_path)
    with pytest.raises(UserError, match=r"batch_size = 32 of the pretraining: at most the 24 training images"):
        pretrainer(tmp_path, "moco", batch_size=32)


def test_processes_share_each_part_and_no_image_comes_twice():
    orders = [BatchOrder(50, 8, 2, 0, rank, 2) for rank in range(2)]
    shares = [list(order.parts(0, 0, 2)) for order in orders]
    alone = list(BatchOrder(50, 8, 2, 0, 0, 1).parts(0, 0, 2))
    for (epoch, first), (_, second), (expected_epoch, expected) in zip(*shares, alone, strict=True):
        assert epoch == expected_epoch
        assert np.array_equal(np.concatenate([first, second]), expected)
    rows = np.concatenate([rows for epoch, rows in alone if epoch == 0])
    assert len(set(rows.tolist())) == len(rows) == 48
    resumed = list(orders[0].parts(1, 3, 2))
    assert np.array_equal(resumed[0][1], shares[0][12 + 6][1])
    with pytest.raises(UserError, match="with accumulate = 2 a multiple of 6 for 3 processes"):
        BatchOrder(50, 8, 2, 0, 0, 3)


def test_rates_fall_along_a_cosine_but_for_the_predictors():
    assert [cosine_rate(2.0, epoch, 4) for epoch in (0, 2)] == pytest.approx([2.0, 1.0])
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [p], "constant": constant} for p, constant in zip(parameters, (False, True), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=2.0)
    set_rates(optimizer, 2.0, 2, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 2.0])
