"""Head training on CUDA: as on the CPU, resumable, and assignments that agree."""

import numpy as np
import pytest
import torch
from test_training import EVERYTHING_KEPT, Blobs, purity, trainer

from pipeline_lib.ucls.heads.inference import assign_in_blocks, restored_classifier

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("changes", [{}, {"symmetric": True, "prior_views": "neighbors"}, EVERYTHING_KEPT], ids=str)
def test_losses_are_those_of_the_cpu(changes):
    on_cpu, on_cuda = (trainer(device=device, iterations=24, **changes).run() for device in ("cpu", "cuda"))
    assert on_cuda.teacher.prototypes.device.type == "cuda"
    for ours, theirs in zip(on_cuda.history, on_cpu.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-3)
        assert ours["learning_rate"] == theirs["learning_rate"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_finds_separable_classes(precision):
    blobs = Blobs()
    trained = trainer(device="cuda", precision=precision).run()
    labels = trained.teacher(torch.from_numpy(blobs.values).cuda()).argmax(-1).cpu().numpy()[trained.best_head]
    assert purity(labels, blobs.labels) > 0.97


def test_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = trainer(device="cuda", iterations=24, **EVERYTHING_KEPT).run()

    class StoppedError(Exception):
        pass

    def stop_after_three(running):
        if running.epoch == 3:
            torch.save(running.state(), tmp_path / "state.pt")
            raise StoppedError

    with pytest.raises(StoppedError):
        trainer(device="cuda", iterations=24, **EVERYTHING_KEPT).run(after=stop_after_three)
    resumed = trainer(device="cuda", iterations=24, **EVERYTHING_KEPT)
    # As a stage reads it: on the CPU.
    resumed.resume(torch.load(tmp_path / "state.pt", weights_only=True, map_location="cpu"))
    again = resumed.run()
    assert [row["epoch"] for row in again.history] == [row["epoch"] for row in whole.history]
    for module in ("student", "teacher"):
        for name, value in getattr(whole, module).state_dict().items():
            torch.testing.assert_close(getattr(again, module).state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_assignments_are_those_of_the_cpu():
    trained = trainer(iterations=40).run()
    blobs = Blobs()
    shape = dict(vars(trained.teacher.shape))
    labels, probabilities = [], []
    for device in (torch.device("cpu"), torch.device("cuda")):
        classifier = restored_classifier(shape, trained.teacher.state_dict(), device)
        options = {"temperature": 0.1, "block_rows": 100, "best_head": 1, "device": device}
        blocks = list(assign_in_blocks(classifier, blobs, np.arange(256), probabilities="best", **options))
        labels.append(np.concatenate([block[1] for block in blocks], axis=1))
        probabilities.append(np.concatenate([block[2] for block in blocks]))
    np.testing.assert_array_equal(*labels)
    np.testing.assert_allclose(*probabilities, atol=1e-4)
