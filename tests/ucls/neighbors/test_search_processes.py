"""Several processes write the bytes that one writes."""

import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from pipeline_lib.artifacts.assignments import write_assignments
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.heads.inference import assign_in_blocks
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.engines import SearchMachine
from pipeline_lib.ucls.neighbors.finding import find_neighbors

PORT = 29641


class Features(ArrayFeatures):
    @property
    def columns(self):
        return {"all": (0, self.dimension)}


def values(count):
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 8))[rng.integers(30, size=count)] + rng.normal(size=(count, 8))


def make(folder):
    space = SearchSpace(Features(values(9000)), centre=True)
    rule = AdaptiveRule(0.9, 5, 40)
    for name, machine in {
        "held": SearchMachine(threads=1, device="cpu"),
        "read": SearchMachine(threads=1, device="cpu", memory=0, block_rows=4000),
    }.items():
        find_neighbors(space, folder / name, rule, machine=machine, made_by={"stage": "test"})
    machine = SearchMachine(threads=1, device="cpu")
    find_neighbors(space, folder / "ivf", rule, index="IVF64,Flat", machine=machine, made_by={"stage": "test"})
    classifier = MultiHeadClassifier(
        HeadShape(features=8, classes=4, heads=3, hidden=6, bottleneck=5, input="none"),
        torch.Generator().manual_seed(0),
    )
    blocks = assign_in_blocks(
        classifier.eval(),
        Features(values(100)),
        np.arange(100),
        temperature=0.1,
        probabilities="mean",
        best_head=0,
        device=torch.device("cpu"),
        block_rows=7,
    )
    if dist.is_initialized() and dist.get_rank() > 0:
        assert list(blocks) == []
        return
    write_assignments(
        folder / "assignments",
        splits={"train": (100, blocks)},
        heads=3,
        classes=4,
        best_head=0,
        probabilities="mean",
        made_by={"stage": "test"},
    )


def work(rank, processes, folder):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(PORT + processes)}
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    make(folder)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_writes_the_same_bytes(tmp_path, processes):
    make(tmp_path / "one")
    multiprocessing.spawn(work, (processes, tmp_path / "several"), nprocs=processes)
    alone = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(alone) == 3 * 4 + 3
    for path in alone:
        other = tmp_path / "several" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path


def make_with_own_memory(rank, processes, folder):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(PORT + 10)}
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    space = SearchSpace(Features(values(9000)), centre=True)
    # The second process holds nothing and would take pieces of another size.
    machine = SearchMachine(threads=1 + rank, device="cpu", memory=(1 << 30) * (rank == 0), block_rows=9000)
    find_neighbors(space, folder, AdaptiveRule(0.9, 5, 40), machine=machine, made_by={"stage": "test"})
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_with_unlike_memory_leave_no_row_out(tmp_path):
    make(tmp_path / "one")
    multiprocessing.spawn(make_with_own_memory, (2, tmp_path / "unlike"), nprocs=2)
    for name in ("indptr.npy", "indices.npy"):
        assert (tmp_path / "one" / "held" / name).read_bytes() == (tmp_path / "unlike" / name).read_bytes()
