"""The exact search on CUDA against the definition in float64 and against the search on the CPU."""

import numpy as np
import pytest

from pipeline_lib.ucls.neighbors.faiss_gpu import has_faiss_gpu

pytestmark = pytest.mark.cuda


@pytest.fixture(params=["torch", "faiss"])
def engine(request):
    if request.param == "faiss" and not has_faiss_gpu():
        pytest.skip("the installed FAISS is not built for GPUs")
    return request.param


def clustered(count, dimension, seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 1.5, (count, 1))
    return rng.normal(size=(20, dimension))[rng.integers(20, size=count)] + spread * rng.normal(size=(count, dimension))


def as_lists(neighbors):
    return [neighbors.of(image)[0].tolist() for image in range(neighbors.count)]


@pytest.mark.parametrize(
    "rule", [(0.4, 5, 50), (1.0, 8, 8), (-1.0, 3, 2_500)], ids=["threshold", "k_min alone", "more than 2,048"]
)
@pytest.mark.parametrize("centre", [False, True])
def test_lists_are_those_of_the_definition(search, check_lists, engine, rule, centre):
    values = clustered(2_600, 48).astype(np.float32) + 2 * centre
    settings = dict(zip(("threshold", "k_min", "k_max"), rule, strict=True))
    neighbors, measures = search(values, device="cuda", engine=engine, centre=centre, **settings)
    check_lists(as_lists(neighbors), values, rule, centre=centre)
    assert measures["pairs"] == len(neighbors.indices)
    assert neighbors.settings["computed_on"] == f"{engine}, cuda"


def test_lists_are_those_of_the_cpu_but_for_ties_within_rounding(search, engine):
    values = clustered(3_000, 64).astype(np.float32)
    rule = {"threshold": 0.45, "k_min": 10, "k_max": 200}
    on_cpu, _ = search(values, "cpu", device="cpu", **rule)
    on_cuda, _ = search(values, "cuda", device="cuda", engine=engine, **rule)
    rows = values.astype(np.float64) / np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    different = 0
    for image, (expected, found) in enumerate(zip(as_lists(on_cpu), as_lists(on_cuda), strict=True)):
        similarity = rows @ rows[image]
        for other in set(expected) ^ set(found):
            # Only at the threshold, or as far as the last of the list, can rounding decide.
            ends = (rule["threshold"], similarity[expected].min(), similarity[found].min())
            assert min(abs(similarity[other] - end) for end in ends) < 1e-6
        different += expected != found
    assert different < 30


def test_duplicates_are_never_in_their_own_lists(search, engine):
    neighbors, _ = search(
        np.repeat(clustered(60, 16), 40, axis=0), device="cuda", engine=engine, threshold=0.99, k_min=3, k_max=20
    )
    assert all(image not in row and len(row) == 20 for image, row in enumerate(as_lists(neighbors)))


def test_repeating_gives_the_same_bytes(search, engine):
    folders = [search(clustered(1_500, 32), name, device="cuda", engine=engine)[0].folder for name in ("a", "b")]
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name
