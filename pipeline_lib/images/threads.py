"""Work spread over threads, in order and with little of it waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_WAITING_PER_WORKER = 8
T = TypeVar("T")
R = TypeVar("R")


def map_in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[tuple[T, R]]:
    """Apply ``function`` in threads, keep the order, and hold no more than a few items a thread at a time.

    Args:
        function: Work that leaves the interpreter for the most part, such as decoding.
        items: What it is applied to, taken as threads come free.
        workers: Number of threads; 0: the work is done in this one.

    Yields:
        Each item with its result.
    """
    if not workers:
        yield from ((item, function(item)) for item in items)
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) >= workers * _WAITING_PER_WORKER:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
