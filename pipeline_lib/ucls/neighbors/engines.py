"""Which exact search a machine runs: FAISS on its processor, or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.runtime import device_memory
from pipeline_lib.base.settings import DeviceName
from pipeline_lib.features.blocks import FeatureBlocks
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.block_search import BlockSearch
from pipeline_lib.ucls.neighbors.candidates import Lists
from pipeline_lib.ucls.neighbors.device_search import DeviceSearch
from pipeline_lib.ucls.neighbors.faiss_gpu import GpuFlatIndex, faiss_nearest, has_faiss_gpu
from pipeline_lib.ucls.neighbors.flat import FlatBlocks
from pipeline_lib.ucls.neighbors.settings import EngineName

FLAT = "Flat"
"""Factory string of the exact index."""

_GPU_GROUP = 1 << 13


class Search(Protocol):
    """Finds neighbour lists of rows."""

    @property
    def count(self) -> int:
        """Number of rows n."""

    @property
    def chunk(self) -> int:
        """Queries that are worth asking for together."""

    def stream(self, queries: NDArray[np.int64]) -> Iterator[Lists]:
        """Lists of consecutive queries (q,), a group after the other."""

    def lists(self, queries: NDArray[np.int64]) -> Lists:
        """Lists of all queries (q,)."""


@dataclass(frozen=True)
class SearchMachine:
    """What there is to compute with.

    Attributes:
        threads: CPU threads.
        device: Where exact products are computed; ``auto`` takes CUDA where there is one.
        memory: Bytes up to which the vectors are held in memory as float32; on CUDA the device's own memory counts.
        block_rows: Rows read and indexed at a time; None: as fits the memory.
        engine: What searches on a GPU; ``auto``: torch, which is 1.7 to 2.9 times as fast as FAISS at equal lists
            (docs/decisions/neighbour-search.md).

    Raises:
        UserError: A number is below 1.
    """

    threads: int = 1
    device: DeviceName = "auto"
    memory: int = 4 << 30
    block_rows: int | None = None
    engine: EngineName = "auto"

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UserError(f"threads = {self.threads}: at least 1 is needed")
        if self.block_rows is not None and self.block_rows < 1:
            raise UserError(f"block_rows = {self.block_rows}: at least 1 is needed")


class ExactSearch(NamedTuple):
    """A search and what runs it.

    Attributes:
        search: The search.
        name: Library and device, recorded in the artifact.
    """

    search: Search
    name: str


def exact_search(space: FeatureBlocks, rule: AdaptiveRule, machine: SearchMachine, index: str = FLAT) -> ExactSearch:
    """The exact search on the device that is asked for.

    Args:
        space: Vectors of length one (or zeros).
        rule: Which candidates are neighbours.
        machine: What there is to compute with.
        index: The index that is asked for; another than ``Flat`` is searched on the CPU, and so is what completes it.

    Returns:
        The search.

    Raises:
        UserError: The device is not there, or cannot search the index.
    """
    device = machine.device
    if index != FLAT:
        if device in ("cuda", "mps"):
            raise UserError(
                f"device = {device}: index = {index} is searched on the CPU; use auto or cpu, or index Flat"
            )
        device = "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda: torch finds no CUDA device here; use auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        blocks = FlatBlocks(space, machine.memory, machine.block_rows)
        memory = machine.memory // 4
        return ExactSearch(BlockSearch(space, rule, blocks, threads=machine.threads, memory=memory), "faiss, cpu")
    memory = device_memory(torch.device(device), machine.memory)
    if machine.engine == "faiss" and not has_faiss_gpu():
        raise UserError("engine = faiss: the installed FAISS is not built for GPUs, or sees none; use torch")
    if device == "cuda" and machine.engine == "faiss":
        return ExactSearch(faiss_gpu_search(space, rule, memory, machine.block_rows), "faiss, cuda")
    return ExactSearch(DeviceSearch(space, rule, torch.device(device), memory=memory), f"torch, {device}")


def faiss_gpu_search(
    space: FeatureBlocks, rule: AdaptiveRule, memory: int, block_rows: int | None = None
) -> BlockSearch:
    """The exact search by FAISS on the first CUDA device, with the rows held there where ``memory`` bytes do."""
    make = partial(GpuFlatIndex, nearest=faiss_nearest(), device=torch.device("cuda"))
    blocks = FlatBlocks(space, memory, block_rows, make)
    return BlockSearch(space, rule, blocks, threads=1, memory=memory // 4, group=_GPU_GROUP)
