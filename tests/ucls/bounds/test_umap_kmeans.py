import sys
import warnings

import numpy as np
import pytest

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.bounds.settings import UmapSettings
from pipeline_lib.ucls.bounds.umap_kmeans import fit_umap_kmeans
from pipeline_lib.ucls.evaluation.metrics import clustering_metrics
from tests.array_features import ArrayFeatures

SHORT = UmapSettings(neighbors=10, components=4, epochs=60)


def rays(n, k, d=12, seed=0):
    """Groups that lie in k directions, at any distance from the origin: one for the cosine, not for Euclid."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % k)
    directions = np.linalg.qr(rng.standard_normal((d, d)))[0][labels] + 0.1 * rng.standard_normal((n, d))
    return ArrayFeatures(directions * rng.uniform(0.01, 10, size=(n, 1))), labels


def halves(n=300, k=5, seed=0):
    """Rows to fit to and other rows of the same groups."""
    features, labels = rays(2 * n, k, seed=seed)
    first, other = ArrayFeatures(features.array[:n]), ArrayFeatures(features.array[n:])
    return first, labels[:n], other, labels[n:]


@pytest.mark.slow
def test_groups_are_found_and_other_rows_are_put_into_them():
    train, labels, other, other_labels = halves()
    fit = fit_umap_kmeans(train, 5, SHORT, restarts=3, seed=0)
    assert fit.embedding.shape == (300, 4)
    assert clustering_metrics(labels, fit.kmeans.predict(ArrayFeatures(fit.embedding))).acc == 1.0
    # One numbering for both: a permutation of each would not pass.
    found = np.concatenate([fit.predict(train), fit.predict(other)])
    assert found.dtype == np.int32
    assert clustering_metrics(np.concatenate([labels, other_labels]), found).acc == 1.0


@pytest.mark.slow
def test_a_seed_repeats_and_another_embeds_otherwise():
    train, _, other, _ = halves(120, 3)
    first, second, third = (fit_umap_kmeans(train, 6, SHORT, restarts=2, seed=seed) for seed in (4, 4, 5))
    assert first.embedding.tobytes() == second.embedding.tobytes() != third.embedding.tobytes()
    assert first.predict(other).tolist() == second.predict(other).tolist()


@pytest.mark.slow
def test_a_sample_is_embedded_and_all_rows_are_put_in_blocks(monkeypatch):
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 12 * 50)
    train, labels = rays(400, 4)
    fit = fit_umap_kmeans(train, 4, SHORT, restarts=3, seed=0, sample_rows=150)
    assert fit.embedding.shape == (150, 4)
    assert clustering_metrics(labels, fit.predict(train)).acc == 1.0
    assert train.largest == 50


@pytest.mark.slow
def test_fewer_images_than_neighbours_are_embedded_without_a_warning():
    train, _ = rays(13, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit = fit_umap_kmeans(train, 2, UmapSettings(epochs=20), restarts=1, seed=0)
    assert np.isfinite(fit.embedding).all()
    with pytest.raises(UserError, match="5 columns"):
        fit.predict(ArrayFeatures(np.eye(5)))


@pytest.mark.parametrize(
    ("array", "arguments", "word"),
    [
        (np.eye(4), {"clusters": 5}, "clusters = 5"),
        (np.eye(40), {"clusters": 4, "sample_rows": 3}, "clusters = 4"),
        (np.eye(40), {"clusters": 0}, "clusters = 0"),
        (np.eye(3), {"clusters": 2}, r"3 image\(s\); UMAP needs at least 4; bounds\.umap\.run = false"),
        (np.full((20, 2), np.nan), {"clusters": 2}, "finite"),
    ],
)
def test_impossible_fits_are_refused_before_umap_is_loaded(monkeypatch, array, arguments, word):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match=word) as error:
        fit_umap_kmeans(ArrayFeatures(array), settings=UmapSettings(), restarts=1, seed=0, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("count", [4, 12])
def test_sets_smaller_than_the_embedding_is_wide_are_clustered_all_the_same(count):
    values = np.repeat(np.eye(2, 6), count // 2, axis=0) + np.random.default_rng(0).normal(size=(count, 6)) / 50
    fitted = fit_umap_kmeans(ArrayFeatures(values), 2, UmapSettings(), restarts=2, seed=0)
    assert fitted.embedding.shape == (count, min(10, count - 3))
    assert fitted.predict(ArrayFeatures(values)).shape == (count,)
