import numpy as np
import pytest
import torch

from pipeline_lib.features.row_reader import RowReader


class ArrayFeatures:
    def __init__(self, array):
        self.array = array
        self.count, self.dimension = array.shape
        self.calls = 0

    def rows(self, indices):
        self.calls += 1
        return self.array[indices]


@pytest.mark.parametrize("budget", [0, 1 << 20])
def test_reader_gives_the_rows_held_or_not(budget):
    array = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    array.flags.writeable = False
    source = ArrayFeatures(array)
    read = RowReader(source, torch.device("cpu"), budget)
    chosen = np.array([49, 0, 7, 7])
    for _ in range(3):
        assert np.array_equal(read(chosen).numpy(), array[chosen])
    assert source.calls == (3 if budget == 0 else 1)
