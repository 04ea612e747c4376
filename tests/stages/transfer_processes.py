"""Runs transfer stages in one process or two, as torchrun starts them, for the tests of several processes."""

import dataclasses
import os
import signal
from pathlib import Path

import torch
import torch.multiprocessing as multiprocessing

from pipeline_lib.params.params import load_params
from stages import detection, linear_eval, masks, segmentation
from stages._context import SegInsContext
from stages._resumable import ResumableTraining

STAGES = {"linear_eval": linear_eval, "segmentation": segmentation, "detection": detection, "masks": masks}


def spawn(stage, root, repository, processes, port, changes, names, killed_after=None):
    """Run a stage; ``names`` are those of the run, and all processes die by SIGKILL after ``killed_after`` states."""
    arguments = (stage, processes, port, str(root), str(repository), changes, names, killed_after)
    multiprocessing.spawn(_run, arguments, nprocs=processes)


def _run(rank, stage, processes, port, root, repository, changes, names, killed_after):
    torch.set_num_threads(1)
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {key: str(value) for key, value in numbers.items()} | {"GROUP_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    os.environ["DVC_ROOT"] = root
    params = load_params(Path(repository) / "params.yaml", changes)
    context = SegInsContext(stage, params, names.pop("data"), "", **names)
    if killed_after is not None:
        _kill_after(killed_after)
    STAGES[stage].run(dataclasses.replace(context, root=Path(root)))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _kill_after(states):
    store, seen = ResumableTraining._store_if_due, []

    def store_and_die(training, trainer):
        store(training, trainer)
        seen.append(trainer.position)
        if len(seen) == states:
            training._state._finish()  # a large state is written beside the training
            if torch.distributed.is_initialized():
                torch.distributed.barrier()
            os.kill(os.getpid(), signal.SIGKILL)

    ResumableTraining._store_if_due = store_and_die
