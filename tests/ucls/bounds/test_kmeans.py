import faiss
import numpy as np
import pytest

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.bounds.kmeans import fit_kmeans
from pipeline_lib.ucls.evaluation.metrics import clustering_metrics
from tests.array_features import ArrayFeatures


@pytest.fixture(autouse=True)
def one_thread():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def blobs(n, k, d=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % k)
    return ArrayFeatures(10 * rng.standard_normal((k, d))[labels] + rng.standard_normal((n, d))), labels


def test_separated_groups_are_found():
    train, labels = blobs(600, 6)
    fit = fit_kmeans(train, 6, restarts=10, seed=0)
    assert clustering_metrics(labels, fit.predict(train)).acc == 1.0
    means = np.stack([train.array[labels == c].mean(axis=0) for c in range(6)])
    nearest = ((fit.centroids[:, None] - means[None]) ** 2).sum(-1).min(axis=1)
    np.testing.assert_allclose(nearest, 0, atol=1e-6)


def test_inertia_and_prediction_follow_their_definition():
    train, _ = blobs(200, 5, seed=3)
    fit = fit_kmeans(train, 4, restarts=2, seed=1)
    distance = ((train.array[:, None].astype(np.float64) - fit.centroids[None]) ** 2).sum(-1)
    assert fit.predict(train).tolist() == distance.argmin(axis=1).tolist()
    assert fit.inertia == pytest.approx(distance.min(axis=1).sum(), rel=1e-4)


def test_more_restarts_are_never_worse():
    train, _ = blobs(300, 12, d=2, seed=5)
    inertia = [fit_kmeans(train, 12, restarts=r, seed=2).inertia for r in (1, 3, 10)]
    assert inertia[0] >= inertia[1] >= inertia[2]
    assert inertia[0] > inertia[2]


def test_repeats_for_a_seed():
    train, _ = blobs(300, 6, d=3)
    first, second = (fit_kmeans(train, 9, restarts=2, seed=4, sample_rows=150) for _ in range(2))
    assert first.centroids.tobytes() == second.centroids.tobytes()


def test_reads_blocks_and_fits_a_sample(monkeypatch):
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 8 * 32)
    train, labels = blobs(1000, 4)
    fit = fit_kmeans(train, 4, restarts=5, seed=0, sample_rows=100)
    predicted = fit.predict(train)
    assert train.largest == 32
    assert clustering_metrics(labels, predicted).acc == 1.0


@pytest.mark.parametrize(
    ("array", "arguments", "word"),
    [
        (np.eye(4), {"clusters": 5, "restarts": 1}, "clusters = 5"),
        (np.eye(4), {"clusters": 4, "restarts": 1, "sample_rows": 3}, "clusters = 4"),
        (np.eye(4), {"clusters": 2, "restarts": 0}, "restarts = 0"),
        (np.eye(4), {"clusters": 0, "restarts": 1}, "clusters = 0"),
        (np.ones((40, 3)), {"clusters": 3, "restarts": 1}, "only 1 of 40"),
        (np.full((4, 2), np.nan), {"clusters": 2, "restarts": 1}, "finite"),
    ],
)
def test_impossible_fits_are_refused_in_one_line(array, arguments, word):
    with pytest.raises(UserError, match=word) as error:
        fit_kmeans(ArrayFeatures(array), seed=0, **arguments)
    assert "\n" not in str(error.value)


def test_other_width_is_refused():
    train, _ = blobs(20, 2)
    with pytest.raises(UserError, match="columns"):
        fit_kmeans(train, 2, restarts=1, seed=0).predict(ArrayFeatures(np.eye(3)))
