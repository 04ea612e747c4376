import numpy as np
import pytest
import torch

from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule
from pipeline_lib.ucls.neighbors.block_search import BlockSearch
from pipeline_lib.ucls.neighbors.device_search import DeviceSearch
from pipeline_lib.ucls.neighbors.faiss_gpu import GpuFlatIndex
from pipeline_lib.ucls.neighbors.flat import FlatBlocks

RULES = [(0.3, 5, 40), (0.0, 3, 12), (0.9, 5, 40), (1.0, 7, 40), (-1.0, 2, 25), (0.3, 60, 60), (0.3, 5, 10**6)]


def as_lists(found):
    return [part.tolist() for part in np.split(found.indices, np.cumsum(found.lengths)[:-1])]


def flat(source, rule, block_rows=128, memory=1 << 30, threads=2, group=64):
    space = SearchSpace(source, centre=False)
    blocks = FlatBlocks(space, memory, block_rows)
    return BlockSearch(space, AdaptiveRule(*rule), blocks, threads=threads, memory=memory, group=group)


def device(source, rule, block_rows=128, memory=1 << 30, group=64):
    space = SearchSpace(source, centre=False)
    return DeviceSearch(space, AdaptiveRule(*rule), torch.device("cpu"), memory=memory, tile=block_rows, group=group)


def gpu(source, rule, block_rows=128, memory=1 << 30, group=64):
    """The search of FAISS on a GPU, with torch in the place of FAISS' function."""

    def nearest(queries, base, k):
        assert k <= 2048
        best = torch.topk(queries @ base.T, k, dim=1)
        return best.values, best.indices

    space = SearchSpace(source, centre=False)
    blocks = FlatBlocks(space, memory, block_rows, lambda part: GpuFlatIndex(part, nearest, torch.device("cpu")))
    return BlockSearch(space, AdaptiveRule(*rule), blocks, threads=1, memory=memory, group=group)


SEARCHES = [flat, device, gpu]


def clustered(count, dimension, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, count // 40), dimension))
    return centres[rng.integers(len(centres), size=count)] + rng.normal(size=(count, dimension))


@pytest.mark.parametrize("make", SEARCHES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_equals_sorting_the_whole_matrix(array_blocks, check_lists, make, rule, memory):
    values = clustered(300, 12)
    found = make(array_blocks(values), rule, memory=memory).lists(np.arange(300))
    check_lists(as_lists(found), values, rule)


@pytest.mark.parametrize("make", SEARCHES)
@pytest.mark.parametrize("count", [63, 64, 65, 127, 128, 129, 257])
def test_sizes_around_the_blocks(array_blocks, check_lists, make, count):
    values = clustered(count, 9, seed=count)
    found = make(array_blocks(values), (0.4, 6, 30), block_rows=64, group=32).lists(np.arange(count))
    check_lists(as_lists(found), values, (0.4, 6, 30))


@pytest.mark.parametrize("make", SEARCHES)
def test_many_blocks_list_no_row_itself_and_miss_none(array_blocks, make):
    values = np.repeat(clustered(60, 8), 5, axis=0)  # four exact duplicates of every row
    search = make(array_blocks(values), (1.0, 4, 4), block_rows=20, memory=0, group=16)
    for image, found in enumerate(as_lists(search.lists(np.arange(300)))):
        family = set(range(image // 5 * 5, image // 5 * 5 + 5))
        assert set(found) == family - {image}


@pytest.mark.parametrize("make", SEARCHES)
def test_more_duplicates_than_places_keep_self_out(array_blocks, make):
    search = make(array_blocks(np.ones((50, 4))), (0.5, 3, 6), block_rows=16, group=16)
    for image, found in enumerate(as_lists(search.lists(np.arange(50)))):
        assert found == [row for row in range(7) if row != image][:6]


@pytest.mark.parametrize("make", SEARCHES)
@pytest.mark.parametrize("block_rows", [16, 64])
def test_ties_go_by_row(array_blocks, make, block_rows):
    values = np.eye(4)[np.arange(40) % 4]  # similarities are exactly 0 or 1
    search = make(array_blocks(values), (0.5, 3, 12), block_rows=block_rows)
    assert as_lists(search.lists(np.arange(40)))[5] == [1, 9, 13, 17, 21, 25, 29, 33, 37]
    search = make(array_blocks(values), (0.0, 3, 12), block_rows=block_rows)
    assert as_lists(search.lists(np.arange(40)))[5] == [1, 9, 13, 17, 21, 25, 29, 33, 37, 0, 2, 3]
    search = make(array_blocks(values), (1.0, 11, 11), block_rows=block_rows)
    assert as_lists(search.lists(np.arange(40)))[5] == [1, 9, 13, 17, 21, 25, 29, 33, 37, 0, 2]


@pytest.mark.parametrize("make", SEARCHES)
def test_rows_without_direction_have_similarity_zero_and_still_get_neighbours(array_blocks, make):
    values = clustered(40, 6)
    values[[3, 30]] = 0
    found = make(array_blocks(values), (0.2, 4, 20), block_rows=16).lists(np.arange(40))
    parts = np.split(found.similarity, np.cumsum(found.lengths)[:-1])
    assert np.isfinite(found.similarity).all()
    assert parts[3].tolist() == [0, 0, 0, 0]
    assert as_lists(found)[3] == [0, 1, 2, 4]
    assert as_lists(found)[30] == [0, 1, 2, 3]


@pytest.mark.parametrize("make", SEARCHES)
@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_any_rows_in_any_order_can_be_asked_for(array_blocks, check_lists, make, memory):
    values = clustered(150, 10)
    queries = np.array([149, 3, 77, 78, 0])
    found = make(array_blocks(values), (0.3, 5, 20), block_rows=64, memory=memory, group=2).lists(queries)
    check_lists(as_lists(found), values, (0.3, 5, 20), queries=queries)


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_threads_do_not_change_a_bit(array_blocks, memory):
    values = clustered(700, 33)
    runs = [flat(array_blocks(values), (0.1, 5, 200), 300, memory, threads) for threads in (1, 2, 4)]
    found = [run.lists(np.arange(700)) for run in runs]
    for other in found[1:]:
        for first_array, other_array in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first_array, other_array)


@pytest.mark.parametrize("make", SEARCHES)
def test_reads_no_more_than_a_block_at_a_time(array_blocks, make):
    source = array_blocks(clustered(500, 8))
    make(source, (0.3, 5, 20), block_rows=64, memory=0, group=32).lists(np.arange(50))
    assert source.largest_read <= 64


@pytest.mark.parametrize("make", SEARCHES)
def test_rows_that_fit_the_memory_are_read_once(array_blocks, make):
    source = array_blocks(clustered(500, 8))
    search = make(source, (0.3, 5, 20), block_rows=100)
    search.lists(np.arange(1))
    read = []
    rows = source.rows
    source.rows = lambda indices: read.append(len(rows(indices))) or rows(indices)
    search.lists(np.arange(200))
    assert sum(read) == 200


@pytest.mark.parametrize("make", SEARCHES)
def test_similarity_of_duplicates_is_one(array_blocks, make):
    values = np.repeat(clustered(30, 17), 2, axis=0)
    found = make(array_blocks(values), (1.0, 1, 1)).lists(np.arange(60))
    assert found.indices.tolist() == [row ^ 1 for row in range(60)]
    np.testing.assert_array_equal(found.similarity.astype(np.float16), 1)


def test_lists_longer_than_a_gpu_makes_are_complete(array_blocks, check_lists):
    values = np.abs(clustered(5000, 6))
    queries = np.arange(0, 5000, 500)
    for rule in ((0.0, 5, 10**6), (0.0, 5, 3000), (1.0, 2500, 2500)):
        check_lists(
            as_lists(gpu(array_blocks(values), rule, block_rows=5000).lists(queries)), values, rule, queries=queries
        )
