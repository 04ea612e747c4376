import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.heads.pairs import PairSampler, fitted_batch_size


def own_row(rows, uniforms):
    return np.repeat(rows[:, None], uniforms.shape[1], axis=1) * 1000 + (uniforms * 1000).astype(np.int64)


def test_every_image_at_most_once_an_epoch_and_other_order_next_epoch():
    sampler = PairSampler(103, 10, 2, own_row, seed=3)
    epochs = [np.concatenate([rows for rows, _ in sampler.epoch(e, 0, 1)]) for e in (0, 1)]
    for rows in epochs:
        assert len(rows) == 100
        assert len(set(rows)) == 100
    assert (epochs[0] != epochs[1]).any()


def test_shares_of_two_processes_make_the_global_batch():
    sampler = PairSampler(64, 16, 3, own_row, seed=0)
    whole = list(sampler.epoch(5, 0, 1))
    parts = zip(sampler.epoch(5, 0, 2), sampler.epoch(5, 1, 2), strict=True)
    for (rows, neighbors), ((a, na), (b, nb)) in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(rows, np.concatenate([a, b]))
        np.testing.assert_array_equal(neighbors, np.concatenate([na, nb]))


def test_batch_size_is_fitted_to_images_and_processes():
    assert fitted_batch_size(256, 1000, 1) == 256
    assert fitted_batch_size(256, 100, 1) == 100
    assert fitted_batch_size(256, 101, 2) == 100
    with pytest.raises(UserError, match="batch_size"):
        fitted_batch_size(256, 3, 2)
