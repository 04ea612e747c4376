from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.artifacts.neighbors import Neighbors, open_neighbors
from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.engines import SearchMachine
from pipeline_lib.ucls.neighbors.finding import find_neighbors


class ArrayBlocks:
    def __init__(self, values: np.ndarray, columns: dict[str, tuple[int, int]] | None = None) -> None:
        self.values = np.asarray(values, dtype=np.float32)
        self.count, self.dimension = self.values.shape
        self.columns = columns or {"all": (0, self.dimension)}
        self.largest_read = 0

    def rows(self, indices: slice | np.ndarray) -> np.ndarray:
        self.largest_read = max(self.largest_read, len(self.values[indices]))
        return self.values[indices]


@pytest.fixture
def array_blocks() -> type[ArrayBlocks]:
    return ArrayBlocks


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., tuple[Neighbors, dict]]:
    """Searches an array and opens what was written."""

    def run(values: np.ndarray, name: str = "found", centre: bool = False, **settings: object) -> tuple:
        space = SearchSpace(ArrayBlocks(values), centre=centre)
        rule = {"threshold": 0.5, "k_min": 5, "k_max": 20, "adaptive": True}
        machine = {"device": "cpu", "threads": 1, "memory": 1 << 30, "block_rows": None, "engine": "auto"}
        for defaults in (rule, machine):
            defaults.update({name: settings.pop(name) for name in list(defaults) if name in settings})
        measures = find_neighbors(
            space,
            tmp_path / name,
            AdaptiveRule(**rule),
            machine=SearchMachine(**machine),
            made_by={"stage": "test"},
            **settings,
        )
        return open_neighbors(tmp_path / name), measures

    return run


@pytest.fixture
def check_lists() -> Callable[..., None]:
    """Compares lists with those of the whole similarity matrix, sorted in float64.

    Two neighbours may be swapped where their similarities differ by less than float32 can tell.
    """

    def check(
        found: list[list[int]],
        values: np.ndarray,
        rule: tuple[float, int, int],
        centre: bool = False,
        queries: np.ndarray | None = None,
    ) -> None:
        threshold, k_min, k_max = rule
        rows = np.asarray(values, dtype=np.float32).astype(np.float64)
        if centre:
            rows = rows - rows.mean(axis=0)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for image, listed in zip(range(len(rows)) if queries is None else queries, found, strict=True):
            similarity = rows @ rows[image]
            order = np.argsort(-similarity, kind="stable")
            order = order[order != image]
            above = int((similarity[order] >= threshold).sum()) if threshold < 1 else 0
            expected = order[: min(k_max, max(k_min, above))]
            assert len(listed) == len(expected)
            assert image not in listed
            assert len(set(listed)) == len(listed)
            np.testing.assert_allclose(similarity[listed], similarity[expected], rtol=0, atol=1e-6)

    return check
