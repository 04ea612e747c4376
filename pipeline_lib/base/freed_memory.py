"""What the C library does with memory that large tensors free."""

from __future__ import annotations

import ctypes
import sys

# Numbers of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, for the next ones.

    glibc maps every block above 32 MiB anew and gives it back when it is freed, and the system then clears it page by
    page on first use: a fifth of the time of a training step whose tensors are that large. The peak of memory stays as
    it is; what is free below it goes back when the process ends.

    Returns:
        Whether it was set: on Linux with glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and mallopt(_M_MMAP_MAX, 0) == 1 and mallopt(_M_TRIM_THRESHOLD, -1) == 1
