import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as multiprocessing
from small_run import pretrainer, weights, write_images, write_pseudo_masks

from stages._context import StageContext
from stages._resumable import ResumableTraining

pytestmark = pytest.mark.slow


def start(rank, processes, port):
    """Be one of several processes that ``torchrun`` would have started."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {key: str(value) for key, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"GROUP_RANK": "0"}


def end():
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def train(rank, processes, port, folder, method, result):
    start(rank, processes, port)
    # One step an epoch: the history holds every step's losses.
    own = {"queue": 48} if method == "moco" else {}
    trainer = pretrainer(Path(folder), method, True, own, local_crops=1, batch_size=24, epochs=3)
    trainer.run()
    if rank == 0:
        queue = trainer.method.state().get("queue")
        history = [{key: value for key, value in row.items() if key != "collapsed"} for row in trainer.history]
        torch.save({"history": history, "queue": queue, "network": weights(trainer)}, result)
    end()


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
    for name, value in one["network"].items():
        if name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(two["network"][name], value, atol=2e-2, rtol=5e-2)


def train_with_state(rank, port, folder, method, killed_after, result):
    """Train in two processes with a state stored after every step, and be killed after one."""
    start(rank, 2, port)
    folder = Path(folder)
    os.environ["DVC_ROOT"] = str(folder / "runs")
    trainer = pretrainer(folder, method, True)
    machine = SimpleNamespace(checkpoint_seconds=0.0)
    params = SimpleNamespace(machine=machine, suite=SimpleNamespace(seed=0))
    context = StageContext("pretrain", params, "noise", "")
    training = ResumableTraining(context, trainer.fabric, {"method": method}, [folder / "images"])
    whole, steps = trainer.steps, []

    def counted():
        for seconds in whole():
            steps.append(trainer.step)
            states = [None, None]
            torch.distributed.all_gather_object(states, dict(flat(trainer.state())))
            assert states[0].keys() == states[1].keys()
            for name, value in states[0].items():
                same = torch.equal(value, states[1][name]) if torch.is_tensor(value) else value == states[1][name]
                assert same, f"{name} differs between the processes"
            yield seconds

    trainer.steps = counted
    run = training._store_if_due

    def store_and_die(trained):
        run(trained)
        training._state._finish()  # a large state is written beside the training
        torch.distributed.barrier()
        if len(steps) == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    training._store_if_due = store_and_die
    training.run(trainer)
    torch.save({"steps": len(steps), "state": trainer.state()}, f"{result}.{rank}")
    end()


def flat(value, name=""):
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{name}/{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from flat(each, f"{name}/{number}")
    else:
        yield name, value


@pytest.mark.parametrize(("method", "port"), [("simsiam", 29613), ("moco", 29614)])
def test_two_killed_processes_go_on_to_the_bits_of_uninterrupted_ones(tmp_path, method, port):
    write_pseudo_masks(tmp_path, write_images(tmp_path))

    def spawn(killed_after, result):
        arguments = (port, str(tmp_path), method, killed_after, str(tmp_path / result))
        multiprocessing.spawn(train_with_state, arguments, nprocs=2)

    spawn(None, "whole")
    (tmp_path / "runs").rename(tmp_path / "runs of the whole")
    with pytest.raises(multiprocessing.ProcessExitedException, match="SIGKILL"):
        spawn(2, "killed")
    spawn(None, "resumed")
    whole, *resumed = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.0", "resumed.0", "resumed.1"))
    assert whole["steps"] == 6
    for each in resumed:
        assert each["steps"] == 4
        found, expected = dict(flat(each["state"])), dict(flat(whole["state"]))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value) if torch.is_tensor(value) else found[name] == value, name
