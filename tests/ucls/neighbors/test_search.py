import numpy as np
import pytest

from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.products import NumpyProducts, TorchProducts
from pipeline_lib.ucls.neighbors.search import ExactSearch

RULES = [(0.3, 5, 40), (0.0, 3, 12), (0.9, 5, 40), (1.0, 7, 40), (-1.0, 2, 25), (0.3, 60, 60)]


def as_lists(found):
    return [part.tolist() for part in np.split(found.indices, np.cumsum(found.lengths)[:-1])]


def exact(source, rule, products, base_rows=128, budget=1 << 30, threads=2, centre=False):
    space = SearchSpace(source, centre=centre)
    return ExactSearch(space, rule, products, threads=threads, base_rows=base_rows, budget=budget)


def clustered(count, dimension, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, count // 40), dimension))
    return centres[rng.integers(len(centres), size=count)] + rng.normal(size=(count, dimension))


@pytest.mark.parametrize("products", [NumpyProducts, lambda *tiles: TorchProducts("cpu", *tiles)])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_equals_sorting_the_whole_matrix(array_blocks, check_lists, products, rule, budget):
    values = clustered(300, 12)
    search = exact(array_blocks(values), AdaptiveRule(*rule), products(64, 50), base_rows=128, budget=budget)
    found = search.lists(np.arange(300))
    check_lists(as_lists(found), values, rule)


@pytest.mark.parametrize("count", [63, 64, 65, 127, 128, 129, 257])
def test_sizes_around_the_blocks(array_blocks, check_lists, count):
    values = clustered(count, 9, seed=count)
    search = exact(array_blocks(values), AdaptiveRule(0.4, 6, 30), NumpyProducts(32, 64), base_rows=64)
    blocks = [np.arange(start, min(start + 64, count)) for start in range(0, count, 64)]
    check_lists([row for rows in blocks for row in as_lists(search.lists(rows))], values, (0.4, 6, 30))


def test_many_blocks_list_no_row_itself_and_miss_none(array_blocks):
    values = np.repeat(clustered(60, 8), 5, axis=0)  # four exact duplicates of every row
    search = exact(array_blocks(values), AdaptiveRule(1.0, 4, 4), NumpyProducts(16, 10), base_rows=20, budget=0)
    for image, found in enumerate(as_lists(search.lists(np.arange(300)))):
        family = set(range(image // 5 * 5, image // 5 * 5 + 5))
        assert set(found) == family - {image}


def test_more_duplicates_than_places_keep_self_out(array_blocks):
    search = exact(array_blocks(np.ones((50, 4))), AdaptiveRule(0.5, 3, 6), NumpyProducts(16, 16), base_rows=16)
    for image, found in enumerate(as_lists(search.lists(np.arange(50)))):
        assert len(set(found)) == 6
        assert image not in found


def test_ties_go_by_row(array_blocks):
    values = np.eye(4)[np.arange(40) % 4]  # similarities are exactly 0 or 1
    search = exact(array_blocks(values), AdaptiveRule(0.5, 3, 12), NumpyProducts(8, 8), base_rows=16)
    found = as_lists(search.lists(np.arange(40)))
    assert found[5] == [1, 9, 13, 17, 21, 25, 29, 33, 37]
    search = exact(array_blocks(values), AdaptiveRule(0.0, 3, 12), NumpyProducts(8, 8), base_rows=16)
    assert as_lists(search.lists(np.arange(40)))[5] == [1, 9, 13, 17, 21, 25, 29, 33, 37, 0, 2, 3]


def test_rows_without_direction_have_similarity_zero_and_still_get_neighbours(array_blocks):
    values = clustered(40, 6)
    values[[3, 30]] = 0
    found = exact(array_blocks(values), AdaptiveRule(0.2, 4, 20), NumpyProducts(16, 16), base_rows=16).lists(
        np.arange(40)
    )
    parts = np.split(found.similarity, np.cumsum(found.lengths)[:-1])
    assert np.isfinite(found.similarity).all()
    assert parts[3].tolist() == [0, 0, 0, 0]
    assert as_lists(found)[3] == [0, 1, 2, 4]
    assert as_lists(found)[30] == [0, 1, 2, 3]


def test_any_rows_in_any_order_can_be_asked_for(array_blocks, check_lists):
    values = clustered(150, 10)
    queries = np.array([149, 3, 77, 78, 0])
    found = exact(array_blocks(values), AdaptiveRule(0.3, 5, 20), NumpyProducts(2, 40), base_rows=64).lists(queries)
    check_lists(as_lists(found), values, (0.3, 5, 20), queries=queries)


def test_threads_do_not_change_a_bit(array_blocks):
    values = clustered(700, 33)
    runs = [
        exact(array_blocks(values), AdaptiveRule(0.1, 5, 200), NumpyProducts(64, 128), threads=threads, base_rows=300)
        for threads in (1, 2, 4)
    ]
    found = [run.lists(np.arange(700)) for run in runs]
    for other in found[1:]:
        for first_array, other_array in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first_array, other_array)


def test_reads_no_more_than_a_block_at_a_time(array_blocks):
    source = array_blocks(clustered(500, 8))
    exact(source, AdaptiveRule(0.3, 5, 20), NumpyProducts(32, 32), base_rows=64, budget=0).lists(np.arange(50))
    assert source.largest_read <= 64


def test_candidates_held_stay_bounded(array_blocks, monkeypatch):
    from pipeline_lib.ucls.neighbors.candidates import Candidates

    held = []
    add = Candidates.add

    def recorded(self, *arguments):
        add(self, *arguments)
        held.append(self._held)

    monkeypatch.setattr(Candidates, "add", recorded)
    values = np.abs(clustered(2000, 6))  # nearly all pairs are above the threshold
    exact(array_blocks(values), AdaptiveRule(-1.0, 5, 20), NumpyProducts(32, 64), base_rows=256).lists(np.arange(32))
    assert max(held) <= 2 * 32 * 20


def test_similarity_of_duplicates_is_one(array_blocks):
    values = np.repeat(clustered(30, 17), 2, axis=0)
    found = exact(array_blocks(values), AdaptiveRule(1.0, 1, 1), NumpyProducts()).lists(np.arange(60))
    assert found.indices.tolist() == [row ^ 1 for row in range(60)]
    np.testing.assert_array_equal(found.similarity.astype(np.float16), 1)
