"""Training state that survives an interruption, outside of what DVC and Git track."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from pipeline_lib.artifacts.folder import META, file_digest, repository_root

Result = TypeVar("Result", covariant=True)

_LARGE = 64 << 20
"""Bytes from which a state is written beside the training."""


class Trainer(Protocol[Result]):
    """A training whose state can be stored after a step or an epoch and taken up again bit by bit."""

    @property
    def position(self) -> str:
        """Where the training is, for example ``after epoch 3 of 9``."""

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on: tensors, numbers, texts, and lists and dicts of them.

        With several processes it is the same in each of them after every step, and asking for it needs no other one.
        """

    def resume(self, state: dict[str, Any]) -> None:
        """Take up training where ``state`` was stored."""

    def run(self, after: Callable[[Self], None] | None = None) -> Result:
        """Train to the end.

        Args:
            after: Called with the trainer whenever its state can be stored.

        Returns:
            What the training gives.
        """


def run_fingerprint(settings: Mapping[str, Any], code: Sequence[Path], inputs: Sequence[Path]) -> str:
    """Hash of all that decides a training run: settings, code and input artifacts.

    Args:
        settings: JSON values.
        code: Python files and folders of them.
        inputs: Artifact folders; their ``meta.json`` holds the digests of their files.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=16)
    digest.update(torch.__version__.encode())
    for path in code:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.name} {file_digest(file)}".encode())
    for folder in inputs:
        digest.update((folder / META).read_bytes())
    return digest.hexdigest()


class ResumableState:
    """The state of one training run under ``scratch/``, written to a temporary name and renamed.

    Args:
        stage: Name of the stage.
        fingerprint: What :func:`run_fingerprint` gave; a run with other settings does not find this state.
        seconds: Least time between two writes; 0 writes every time.
    """

    def __init__(self, stage: str, fingerprint: str, seconds: float) -> None:
        self._folder = repository_root() / "scratch" / stage / fingerprint
        self._path = self._folder / "state.pt"
        self._seconds = seconds
        self._last = time.monotonic()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def load(self) -> dict[str, Any] | None:
        """The stored state, or ``None`` where the run starts anew."""
        if not self._path.is_file():
            return None
        state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return state

    def due(self) -> bool:
        """Whether the interval since the last write has passed."""
        return time.monotonic() - self._last >= self._seconds

    def store(self, state: Mapping[str, Any], *, wait: bool = True) -> None:
        """Write the state, replacing the one before.

        Args:
            state: The state.
            wait: Whether to go on only when it is written. Otherwise a large state is copied to the CPU and written
                beside the training; a failure comes with the next call.
        """
        self._finish()
        if wait or state_bytes(state) < _LARGE:
            self._write(state)
        else:
            self._writing = self._writer.submit(self._write, on_cpu(state))
        self._last = time.monotonic()

    def discard(self) -> None:
        """Remove the state: the run has ended and its artifact is written."""
        self._finish()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self) -> None:
        """Wait for a state that is being written."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, state: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"state.{os.getpid()}.writing"
        with temporary.open("wb") as stream:
            torch.save(dict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)


def state_bytes(state: Any) -> int:
    """Bytes of all tensors in a state of nested mappings and sequences."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(state_bytes(value) for value in state.values())
    return sum(state_bytes(value) for value in state) if isinstance(state, (list, tuple)) else 0


def on_cpu(state: Any) -> Any:
    """A copy of a state that training does not change: its tensors on the CPU, its containers new."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(on_cpu(value) for value in state)
    return state
