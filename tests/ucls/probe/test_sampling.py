import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.sampling import batches, split_rows


def test_split_takes_labelled_rows_once_each():
    labels = np.random.default_rng(0).integers(-1, 4, size=200)
    training, held = split_rows(labels, 0.25, 3)
    assert sorted([*training, *held]) == np.flatnonzero(labels >= 0).tolist()
    assert len(held) == round(0.25 * (labels >= 0).sum())


def test_split_depends_on_the_seed_alone():
    labels = np.zeros(100, dtype=np.int64)
    assert np.array_equal(split_rows(labels, 0.1, 1)[1], split_rows(labels, 0.1, 1)[1])
    assert not np.array_equal(split_rows(labels, 0.1, 1)[1], split_rows(labels, 0.1, 2)[1])


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_both_sides_have_a_row(fraction):
    training, held = split_rows(np.zeros(3, dtype=np.int64), fraction, 0)
    assert len(training) >= 1
    assert len(held) >= 1


def test_too_few_labels_are_refused():
    with pytest.raises(UserError, match="1 rows have a label"):
        split_rows(np.array([-1, 0, -1]), 0.5, 0)


def test_every_row_comes_once_an_epoch():
    rows = np.arange(100, 130)
    stream = np.concatenate(list(batches(rows, 7, 60, 5, 0))).reshape(-1)  # 420 = 14 epochs
    epochs = stream.reshape(14, 30)
    assert all(sorted(epoch) == rows.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 14


def test_batches_do_not_depend_on_the_chunks():
    rows = np.arange(11)
    whole = np.concatenate(list(batches(rows, 4, 23, 23, 5)))
    for per_chunk in (1, 2, 10, 100):
        assert np.array_equal(np.concatenate(list(batches(rows, 4, 23, per_chunk, 5))), whole)
    assert whole.shape == (23, 4)


def test_a_batch_may_be_larger_than_the_data():
    chunk = next(batches(np.arange(3), 9, 1, 1, 0))
    assert sorted(chunk[0]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
