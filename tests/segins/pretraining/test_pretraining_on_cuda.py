"""Pretraining on CUDA: losses as on the CPU, in both precisions, and a state that goes on."""

import pytest
import torch
from small_run import pretrainer, weights

pytestmark = pytest.mark.cuda

METHODS = ("simsiam", "moco")


@pytest.mark.usefixtures("exact_convolutions")
@pytest.mark.parametrize("method", METHODS)
def test_losses_of_the_first_steps_are_those_of_the_cpu(tmp_path, method):
    # One step an epoch: the history holds every step's losses.
    options = {"own": {"queue": 48} if method == "moco" else {}, "local_crops": 1, "batch_size": 24, "epochs": 2}
    histories = []
    for device in ("cpu", "cuda"):
        trainer = pretrainer(tmp_path, method, True, device=device, **options)
        trainer.run()
        assert next(trainer.method.network.parameters()).device.type == device
        histories.append(trainer.history)
    # Sums in another order differ in their last bits, which a step amplifies.
    for on_cpu, on_cuda, tolerance in zip(*histories, (1e-3, 2e-2), strict=True):
        for key in ("loss", "id_loss", "seg_loss"):
            assert on_cuda[key] == pytest.approx(on_cpu[key], abs=tolerance), key


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("workers", [0, 2])
def test_bfloat16_trains_with_and_without_workers(tmp_path, method, workers):
    trainer = pretrainer(tmp_path, method, True, device="cuda", precision="bfloat16", workers=workers)
    before = weights(trainer)
    trainer.run()
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in trainer.history)
    after = weights(trainer)
    moved = [
        name for name, value in before.items() if value.is_floating_point() and not torch.equal(value, after[name])
    ]
    assert any("backbone.conv1" in name for name in moved)


@pytest.mark.parametrize("method", METHODS)
def test_a_state_goes_on(tmp_path, method):
    whole = pretrainer(tmp_path, method, True, device="cuda")
    whole.run()
    stopped = pretrainer(tmp_path, method, True, device="cuda")
    steps = stopped.steps()
    next(steps)
    next(steps)
    torch.save(stopped.state(), tmp_path / "state.pt")
    resumed = pretrainer(tmp_path, method, True, device="cuda")
    resumed.resume(torch.load(tmp_path / "state.pt", weights_only=True, map_location="cpu"))
    assert resumed.position == stopped.position
    resumed.run()
    for ours, theirs in zip(resumed.history, whole.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=5e-2)
