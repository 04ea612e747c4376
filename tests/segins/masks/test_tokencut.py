"""TokenCut against the reference values and graphs whose cut is known."""

import numpy as np
import pytest
from scipy.linalg import eigh

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.masks.tokencut import NOT_JOINED, adjacency, second_eigenvector, token_cut

CASES = [("tiny", "a"), ("tiny", "b"), *(("medium", c) for c in ("a", "b", "c", "d_noisy", "e_weighted", "f_tau0"))]


@pytest.mark.parametrize(("size", "case"), CASES)
def test_cut_equals_the_reference(golden, size, case):
    reference = golden(f"07_tokencut_{size}")
    given = {key.removeprefix(f"{case}_"): value for key, value in reference.items() if key.startswith(f"{case}_")}
    binary = case != "e_weighted"
    keys = given["in_features"][0, 1:]  # The first token is the class token.
    weights = adjacency(keys, float(given["in_tau"]), binary=binary)
    expected = given["out_adjacency"].astype(np.float64)
    if binary:
        expected = np.where(expected == 1, 1, float(given["in_eps"]))
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    grid = (int(given["in_dims"][0]), int(given["in_dims"][1]))
    cut = token_cut(keys if not binary else keys.astype(np.float64), grid, float(given["in_tau"]), binary=binary)
    np.testing.assert_allclose(cut.eigenvector, given["out_eigvec"], rtol=0, atol=1e-7 if binary else 1e-3)
    np.testing.assert_array_equal(cut.foreground, given["out_bipartition"].astype(bool))
    np.testing.assert_array_equal(cut.mask, given["out_mask"].astype(bool))
    assert cut.seed[0] * grid[1] + cut.seed[1] == int(given["out_seed"])


def test_eigenvector_equals_that_of_all_computed() -> None:
    keys = np.random.default_rng(0).normal(size=(30, 6))
    weights = adjacency(keys, 0.2)
    degree = np.diag(weights.sum(axis=1))
    values, vectors = eigh(degree - weights, degree)
    assert values[0] == pytest.approx(0, abs=1e-9)
    vector = second_eigenvector(weights)
    np.testing.assert_allclose(vector * np.sign(vector[0] * vectors[0, 1]), vectors[:, 1], atol=1e-9)
    assert vector @ degree @ vector == pytest.approx(1)


def test_a_planted_object_is_found() -> None:
    generator = np.random.default_rng(1)
    planted = np.zeros((8, 8), dtype=bool)
    planted[2:5, 3:7] = True
    keys = np.where(planted.reshape(-1, 1), np.eye(6)[0], np.eye(6)[1]) + 0.3 * generator.normal(size=(64, 6))
    # The two sides look alike here and there, which ties them together without hiding the object.
    assert (token_cut(keys, (8, 8)).mask == planted).mean() > 0.9


def test_similarity_of_exactly_the_threshold_joins_nothing() -> None:
    weights = adjacency(np.array([[1.0, 0.0], [0.0, 1.0]]), 0.0)
    np.testing.assert_array_equal(weights, [[1, NOT_JOINED], [NOT_JOINED, 1]])


def test_a_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="6 patches for a grid of 2 x 2"):
        token_cut(np.ones((6, 3)), (2, 2))
