"""Features of an array, for tests of what reads features in blocks."""

import numpy as np


class ArrayFeatures:
    """Features held as ``array``; ``largest`` is the largest number of rows that was read at once."""

    def __init__(self, array):
        self.array = array.astype(np.float32)
        self.count, self.dimension = array.shape
        self.largest = 0

    def rows(self, indices):
        rows = self.array[indices]
        self.largest = max(self.largest, len(rows))
        return rows
