import faiss
import numpy as np
import pytest
import torch

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.neighbors.candidates import Lists
from pipeline_lib.ucls.neighbors.finding import recall


def clustered(count=400, dimension=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(10, dimension))[rng.integers(10, size=count)] + rng.normal(size=(count, dimension))


def as_lists(neighbors):
    return [neighbors.of(image)[0].tolist() for image in range(neighbors.count)]


@pytest.mark.parametrize("centre", [False, True])
def test_writes_the_lists_of_the_definition(search, check_lists, centre):
    values = clustered().astype(np.float32) + 2
    neighbors, measures = search(values, centre=centre, threshold=0.4, k_max=50, block_rows=90, threads=2)
    check_lists(as_lists(neighbors), values, (0.4, 5, 50), centre=centre)
    assert measures["pairs"] == len(neighbors.indices)
    assert measures["zero_rows"] == 0


def test_settings_are_recorded(search):
    neighbors, _ = search(clustered(50), threshold=0.7, seed=3)
    assert neighbors.settings["threshold"] == 0.7
    assert neighbors.settings["centred"] is False
    assert neighbors.settings["index"] == "Flat"
    assert neighbors.settings["computed_on"] == "faiss, cpu"


def test_without_adaptation_every_list_has_k_min(search):
    neighbors, measures = search(clustered(), threshold=-1.0, adaptive=False)
    assert (neighbors.lengths() == 5).all()
    assert measures["share_at_k_min"] == 1


def test_fewer_images_than_k_min_give_all_others(search):
    neighbors, _ = search(clustered(4), k_min=10, k_max=10)
    assert [sorted(row) for row in as_lists(neighbors)] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


@pytest.mark.parametrize("index", ["Flat", "IVF8,Flat;nprobe=3"])
def test_repeating_gives_the_same_bytes(search, index):
    folders = [search(clustered(), name, index=index, seed=1)[0].folder for name in ("a", "b")]
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


@pytest.mark.parametrize("rule", [(0.4, 5, 50), (1.0, 8, 8), (-1.0, 3, 30)])
def test_an_exhaustive_index_gives_the_lists_of_the_definition(search, check_lists, rule):
    settings = dict(zip(("threshold", "k_min", "k_max"), rule, strict=True))
    found, measures = search(clustered(), index="IVF1,Flat", **settings)
    check_lists(as_lists(found), clustered(), rule)
    assert measures["index_recall"] == 1


def test_faiss_index_keeps_self_out_among_duplicates(search):
    neighbors, _ = search(np.repeat(clustered(6), 10, axis=0), index="IVF1,Flat", threshold=0.99, k_min=3, k_max=4)
    assert all(image not in row and len(row) == 4 for image, row in enumerate(as_lists(neighbors)))


def test_lists_that_an_approximate_index_leaves_short_are_completed(search, check_lists):
    values = clustered().astype(np.float32)
    neighbors, measures = search(values, index="IVF64,Flat", threshold=1.0, k_min=30, k_max=30)
    assert 0 < measures["index_recall"] < 0.9
    # One cell of 64 holds about 6 of 400 rows: no list has 30 neighbours of its own.
    check_lists(as_lists(neighbors), values, (1.0, 30, 30))


def test_more_probes_find_more(search):
    few, many = (
        search(clustered(), name, index=f"IVF32,Flat;nprobe={probes}")[1]["index_recall"]
        for name, probes in (("few", 1), ("many", 32))
    )
    assert few < many == 1


def test_faiss_threads_are_restored(search):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        search(clustered(60), index="Flat", threads=1)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_recall_counts_pairs():
    truth = Lists(np.array([2, 2]), np.array([1, 2, 3, 4]), np.ones(4, np.float32))
    found = Lists(np.array([1, 3]), np.array([2, 1, 3, 4]), np.ones(4, np.float32))
    assert recall(found, truth) == 0.75


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"k_min": 30}, "k_max = 20"),
        ({"threads": 0}, "threads = 0"),
        ({"block_rows": 0}, "block_rows = 0"),
        (
            {"index": "NoSuchIndex"},
            "^index = 'NoSuchIndex': FAISS refuses it for 60 rows: could not parse index string",
        ),
        ({"index": "IVF4,Flat;nprobe"}, "nprobe"),
        ({"index": "IVF4,Flat;probes=3"}, "probes"),
        ({"index": "IVF5000,Flat"}, "IVF5000"),
        ({"index": "IVF4,Flat", "device": "cuda"}, "device = cuda"),
    ],
)
def test_impossible_settings_are_refused_by_name(search, settings, named):
    with pytest.raises(UserError, match=named):
        search(clustered(60), **settings)


def test_cuda_without_a_device_is_refused(search, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device = cuda"):
        search(clustered(20), device="cuda")


def test_one_image_has_no_neighbours(search):
    with pytest.raises(UserError, match="1 image"):
        search(np.ones((1, 4)))


def test_lists_too_large_for_the_limit_stop_the_search_before_it_writes(search, tmp_path):
    with pytest.raises(UserError, match=r"knn.threshold = -1.0: lists of 399 neighbours would take 0.0 GiB.*knn.k_max"):
        search(clustered(), threshold=-1.0, k_max=10**6, size_limit=400 * 398 * 6)
    assert not (tmp_path / "found").exists()
    search(clustered(), threshold=-1.0, k_max=10**6, size_limit=400 * 399 * 6)


def test_the_limit_counts_what_lists_have_not_what_they_may_have(search):
    _, measures = search(clustered(), threshold=0.99, k_max=10**6, size_limit=400 * 10 * 6)
    assert measures["neighbors_mean"] < 10


def test_an_approximate_index_asks_for_what_is_there_not_for_the_longest_list(search, check_lists, monkeypatch):
    """``k_max`` is as good as none in the thesis: results of that length would fill the memory."""
    asked = []
    search_index = faiss.IndexIVFFlat.search
    monkeypatch.setattr(faiss.IndexIVFFlat, "search", lambda self, x, k: asked.append(k) or search_index(self, x, k))
    values = clustered(3000).astype(np.float32)
    neighbors, measures = search(values, index="IVF8,Flat;nprobe=8", threshold=0.5, k_min=5, k_max=10**6)
    check_lists(as_lists(neighbors), values, (0.5, 5, 10**6))
    assert measures["index_recall"] == 1
    assert asked
    assert max(asked) <= 1025
