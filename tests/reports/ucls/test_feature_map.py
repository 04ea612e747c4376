import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from pipeline_lib.reports.ucls import feature_map as module
from pipeline_lib.reports.ucls.feature_map import feature_map, principal_components


class Rows:
    def __init__(self, values):
        self.values, self.count, self.dimension = values, *values.shape

    def rows(self, indices):
        return self.values[indices].astype(np.float32)


def groups(images, columns=20):
    group = np.arange(images) % 4
    return group, np.random.default_rng(0).normal(size=(images, columns)) + 12 * np.eye(4, columns)[group]


def test_groups_stay_together_and_the_map_is_the_same_again():
    group, values = groups(160)
    flat = feature_map(Rows(values))
    assert "t-SNE" in flat.method
    nearest = NearestNeighbors(n_neighbors=2).fit(flat.places).kneighbors(return_distance=False)[:, 0]
    assert (group[nearest] == group).mean() > 0.99
    assert np.array_equal(flat.places, feature_map(Rows(values)).places)


def test_few_images_get_principal_components():
    _, values = groups(20)
    flat = feature_map(Rows(values))
    centred = values.astype(np.float32) - values.astype(np.float32).mean(axis=0)
    left, singular, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    assert np.abs(flat.places) == pytest.approx(np.abs(left[:, :2] * singular[:2]), abs=1e-4)
    assert "principal" in flat.method


def test_a_sample_of_distinct_rows_is_shown(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 60)
    flat = feature_map(Rows(groups(300)[1]))
    assert len(flat.rows) == len(set(flat.rows.tolist())) == len(flat.places) == 60
    assert (np.diff(flat.rows) > 0).all()


@pytest.mark.parametrize("shape", [(1, 5), (2, 1), (5, 1), (9, 3)])
def test_there_are_always_two_columns(shape):
    values = np.random.default_rng(0).normal(size=shape)
    assert principal_components(values, 50).shape == (shape[0], max(2, min(shape)))
    assert np.isfinite(feature_map(Rows(values)).places).all()
