"""Threads of FAISS and of the products under it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import faiss
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS use ``threads`` threads inside the block, and as many as before after it."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Results in order, computed by ``threads`` threads, in each of which FAISS and BLAS have one.

    What is computed for an item is then the same bit for bit however many threads there are. At most twice as many
    results as threads wait to be taken.
    """

    def alone(item: Item) -> Result:
        with faiss_threads(1):
            return function(item)

    waiting: deque[Future[Result]] = deque()
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(alone, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
