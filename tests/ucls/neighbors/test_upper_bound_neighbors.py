import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.neighbors.upper_bound import UpperBoundNeighbors

# Class 3 has one image, class 9 two, and two images are of unknown class.
LABELS = np.array([5, 9, 5, -1, 3, 5, 9, 5, -1], dtype=np.int32)


def drawn(labels, repeats, columns=1, seed=0):
    true = UpperBoundNeighbors(labels)
    rows = np.tile(np.arange(len(true.rows)), repeats)
    return true, rows, true.draw(rows, np.random.default_rng(seed).random((len(rows), columns)))


def test_images_without_a_true_neighbour_are_left_out():
    assert UpperBoundNeighbors(LABELS).rows.tolist() == [0, 1, 2, 5, 6, 7]


@pytest.mark.parametrize("columns", [1, 5])
def test_a_neighbour_has_the_same_class_and_is_another_image(columns):
    labels = np.random.default_rng(1).integers(-1, 7, size=300).astype(np.int32)
    true, rows, picks = drawn(labels, 20, columns)
    kept = labels[true.rows]
    assert (kept[picks] == kept[rows][:, None]).all()
    assert (picks != rows[:, None]).all()


def test_every_other_image_of_the_class_is_equally_likely():
    true, rows, picks = drawn(LABELS, 9000)
    for row in range(len(true.rows)):
        kept = LABELS[true.rows]
        others = [other for other in range(len(kept)) if kept[other] == kept[row] and other != row]
        found, counts = np.unique(picks[rows == row], return_counts=True)
        assert found.tolist() == others
        # Four standard deviations of a binomial count.
        share = 1 / len(others)
        assert np.abs(counts - 9000 * share).max() <= 4 * np.sqrt(9000 * share * (1 - share))


def test_the_extremes_of_the_uniform_numbers_stay_in_the_class():
    true = UpperBoundNeighbors(LABELS)
    rows = np.arange(len(true.rows))
    for value in (0.0, np.nextafter(1.0, 0.0)):
        picks = true.draw(rows, np.full((len(rows), 1), value))
        assert (LABELS[true.rows][picks[:, 0]] == LABELS[true.rows][rows]).all()
        assert (picks[:, 0] != rows).all()


def test_several_neighbours_are_distinct_while_there_are_enough():
    labels = np.repeat(np.arange(4), 6).astype(np.int32)
    _, _, picks = drawn(labels, 50, columns=5)
    assert (np.sort(picks, axis=1)[:, 1:] != np.sort(picks, axis=1)[:, :-1]).all()


@pytest.mark.parametrize("labels", [[-1, -1, -1], [0, 1, 2]])
def test_labels_without_any_pair_are_refused(labels):
    with pytest.raises(UserError, match="at least two"):
        UpperBoundNeighbors(np.array(labels, dtype=np.int32))
