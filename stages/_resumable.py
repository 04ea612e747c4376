"""Trainings of a stage that go on where an interrupted run of the same settings, code and inputs stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from lightning_fabric import Fabric

import pipeline_lib
from pipeline_lib.artifacts.resume import ResumableState, Trainer, run_fingerprint
from pipeline_lib.base.gathering import from_first
from stages._context import StageContext

Result = TypeVar("Result")


class ResumableTraining(Generic[Result]):
    """One training, whose state is stored now and then and at its end, until the stage's artifact is written.

    The state of an ended training stays as well: an interruption of what follows repeats no training. The state of a
    trainer is the same in every process, so the first one stores its own, whenever it likes, and all take up what the
    first one read.

    Args:
        context: Names of stage and run.
        fabric: A launched Fabric; its first process stores.
        settings: All that decides the training beside code, inputs, seed and number of processes.
        inputs: Folders of the artifacts that it reads.
        part: Name of the training where a stage has several.
    """

    def __init__(
        self,
        context: StageContext,
        fabric: Fabric,
        settings: Mapping[str, Any],
        inputs: Sequence[Path],
        part: str = "",
    ) -> None:
        self._fabric = fabric
        self._name = f"{context.stage}@{context.run}:{f' {part}' if part else ''}"
        facts = {**settings, "seed": context.seed, "part": part, "processes": fabric.world_size}
        # A state must not be taken up by other code; hashing all of it costs nothing and forgets no import.
        code = [Path(pipeline_lib.__file__).parent]
        fingerprint = run_fingerprint(facts, code, inputs)
        self._state = ResumableState(context.stage, fingerprint, context.params.machine.checkpoint_seconds)
        self._stored = from_first(self._state.load() if fabric.is_global_zero else None)

    @property
    def is_new(self) -> bool:
        """Whether no state of an earlier run waits to be taken up."""
        return self._stored is None

    def run(self, trainer: Trainer[Result]) -> Result:
        """Train from the start, or from the stored state, to the end.

        Args:
            trainer: The training as it starts.

        Returns:
            What the trainer gives.
        """
        if self._stored is not None:
            trainer.resume(self._stored)
            self._stored = None
            self._fabric.print(f"{self._name} resuming {trainer.position}")
        result = trainer.run(after=self._store_if_due)
        if self._fabric.is_global_zero:
            self._state.store(trainer.state())
        return result

    def discard(self) -> None:
        """Remove the state: the artifact is written."""
        self._state.discard()

    def _store_if_due(self, trainer: Trainer[Result]) -> None:
        if self._fabric.is_global_zero and self._state.due():
            self._state.store(trainer.state(), wait=False)
