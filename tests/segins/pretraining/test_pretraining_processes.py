import os
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from small_run import pretrainer, write_images, write_pseudo_masks

pytestmark = pytest.mark.slow


def train(rank, processes, port, folder, method, result):
    """Train as one of several processes that ``torchrun`` would have started."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {key: str(value) for key, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"GROUP_RANK": "0"}
    # One step an epoch: the history holds every step's losses.
    own = {"queue": 48} if method == "moco" else {}
    trainer = pretrainer(Path(folder), method, True, own, local_crops=1, batch_size=24, epochs=3)
    trainer.run()
    if rank == 0:
        queue = trainer.method.state().get("queue")
        history = [{key: value for key, value in row.items() if key != "collapsed"} for row in trainer.history]
        torch.save({"history": history, "queue": queue}, result)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("method", "port"), [("simsiam", 29611), ("moco", 29612)])
def test_two_processes_give_the_losses_of_one_with_the_same_batch(tmp_path, method, port):
    write_pseudo_masks(tmp_path, write_images(tmp_path))
    for processes in (1, 2):
        arguments = (processes, port, str(tmp_path), method, str(tmp_path / f"{processes}.pt"))
        multiprocessing.spawn(train, arguments, nprocs=processes)
    one, two = (torch.load(tmp_path / f"{processes}.pt", weights_only=True) for processes in (1, 2))
    # Sums in another order differ in their last bits, which training amplifies from step to step.
    for alone, together, tolerance in zip(one["history"], two["history"], (1e-5, 1e-3, 1e-2), strict=True):
        for key in ("loss", "id_loss", "seg_loss"):
            assert together[key] == pytest.approx(alone[key], abs=tolerance)
    if method == "moco":
        torch.testing.assert_close(two["queue"][:, :24], one["queue"][:, :24], atol=5e-2, rtol=0)
