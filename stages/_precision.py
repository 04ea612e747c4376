"""Precision of a stage: what ``auto`` takes here is what the stage computes in and what its artifact records."""

from __future__ import annotations

import os
from typing import Protocol, Self, TypeVar

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.gathering import from_first
from pipeline_lib.base.precision import slow_bfloat16, taken_precision
from pipeline_lib.base.runtime import device_type
from pipeline_lib.base.settings import DeviceName, Precision, PrecisionName
from stages._context import warn


class HasPrecision(Protocol):
    """Settings with a precision."""

    @property
    def precision(self) -> PrecisionName: ...

    def model_copy(self, *, update: dict[str, object]) -> Self: ...


Section = TypeVar("Section", bound=HasPrecision)


def with_precision(section: Section, device: DeviceName) -> tuple[Section, Precision]:
    """Settings that name the precision that is taken, for the processes that have not been started yet.

    The first process warns in one line where bfloat16 is asked for and slow.

    Args:
        section: Settings; ``auto`` is allowed.
        device: The machine's.

    Returns:
        The settings with ``float32`` or ``bfloat16``, and that precision.
    """
    device_kind = device_type(device)
    taken = taken_precision(section.precision, device_kind)
    if int(os.environ.get("RANK", "0")) == 0:
        warning = slow_bfloat16(section.precision, device_kind)
        warn([warning] if warning else [])
    return section.model_copy(update={"precision": taken}), taken


def check_equal_precision(taken: Precision) -> None:
    """Refuse processes of unlike machines for which ``auto`` took unlike precisions.

    Raises:
        UserError: This process took another one than the first.
    """
    first = from_first(taken)
    if first != taken:
        raise UserError(f"precision = auto: the first process takes {first}, this one {taken}; name one of them")
