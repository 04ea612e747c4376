from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment


@pytest.fixture(scope="session")
def accuracy() -> Callable[[np.ndarray, np.ndarray], float]:
    def matched(labels: np.ndarray, planted: np.ndarray) -> float:
        table = np.zeros((labels.max() + 1, planted.max() + 1), dtype=int)
        np.add.at(table, (labels, planted), 1)
        rows, columns = linear_sum_assignment(table, maximize=True)
        return table[rows, columns].sum() / len(labels)

    return matched


@pytest.fixture(scope="session")
def same_partition() -> Callable[[np.ndarray, np.ndarray], bool]:
    def same(first: np.ndarray, second: np.ndarray) -> bool:
        pairs = len(set(zip(first.tolist(), second.tolist(), strict=True)))
        return pairs == len(np.unique(first)) == len(np.unique(second))

    return same


@pytest.fixture
def renumbered() -> Callable[[np.ndarray, int], np.ndarray]:
    def renumber(assignments: np.ndarray, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        return np.stack([generator.permutation(head.max() + 1)[head] for head in assignments])

    return renumber
