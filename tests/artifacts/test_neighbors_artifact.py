import json

import numpy as np
import pytest

from pipeline_lib.artifacts.neighbors import open_neighbors, write_neighbors
from pipeline_lib.base.errors import MissingFileError, UserError

LISTS = [[1, 2, 3], [0], [3, 1], [0, 1, 2], [2]]


def write(folder, lists=LISTS, step=2):
    with write_neighbors(folder, len(lists), {"k_min": 1, "k_max": 3}, {"stage": "test"}) as writer:
        for start in range(0, len(lists), step):
            part = lists[start : start + step]
            indices = np.concatenate([np.asarray(row) for row in part])
            similarity = np.concatenate([1 / (2.0 + np.arange(len(row))) for row in part])
            writer.append(np.array([len(row) for row in part]), indices, similarity)
    return open_neighbors(folder)


def test_round_trip(tmp_path):
    neighbors = write(tmp_path / "neighbors")
    assert neighbors.count == 5
    assert neighbors.lengths().tolist() == [3, 1, 2, 3, 1]
    assert [neighbors.of(image)[0].tolist() for image in range(5)] == LISTS
    assert neighbors.of(2)[1].tolist() == [0.5, np.float16(1 / 3)]
    assert neighbors.settings == {"k_min": 1, "k_max": 3}
    assert (neighbors.indptr.dtype, neighbors.indices.dtype, neighbors.similarity.dtype) == ("i8", "i4", "f2")
    assert isinstance(neighbors.indices, np.memmap)


def test_appending_in_other_steps_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a", step=1)
    write(tmp_path / "b", step=5)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("entries", [1, 2, 4, 100])
def test_blocks_hold_every_list_once(tmp_path, entries):
    neighbors = write(tmp_path / "neighbors")
    blocks = list(neighbors.blocks(entries))
    assert [block.first for block in blocks] == np.cumsum([0, *(len(block.lengths) for block in blocks)])[:-1].tolist()
    assert np.concatenate([block.lengths for block in blocks]).tolist() == [3, 1, 2, 3, 1]
    assert np.concatenate([block.indices for block in blocks]).tolist() == [row for listed in LISTS for row in listed]
    assert all(len(block.indices) <= max(entries, 3) for block in blocks)


def test_draw_takes_the_floor_of_the_position(tmp_path):
    neighbors = write(tmp_path / "neighbors")
    uniforms = np.array([[0.0], [0.34], [0.67], [np.nextafter(1, 0)]])
    assert neighbors.draw(np.zeros(4, np.int64), uniforms).ravel().tolist() == [1, 2, 3, 3]
    assert neighbors.draw(np.array([1, 4]), np.full((2, 1), np.nextafter(1, 0))).ravel().tolist() == [0, 2]


@pytest.mark.parametrize(("length", "draws"), [(7, 1), (7, 3), (5, 5), (12, 4)])
def test_draws_are_distinct_and_uniform_in_every_column(tmp_path, length, draws):
    neighbors = write(tmp_path / "neighbors", [list(range(1, length + 1)), *([[0]] * length)])
    repeats = 20_000
    uniforms = np.random.default_rng(0).random((repeats, draws))
    drawn = neighbors.draw(np.zeros(repeats, np.int64), uniforms)
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    for column in drawn.T:
        counts = np.bincount(column, minlength=length + 1)[1:]
        expected = repeats / length
        chi_square = np.sum((counts - expected) ** 2) / expected
        assert chi_square < length - 1 + 6 * np.sqrt(2 * length)


def test_draws_make_every_pair_equally_likely(tmp_path):
    neighbors = write(tmp_path / "neighbors", [[1, 2, 3, 4], *([[0]] * 4)])
    grid = (np.arange(12) + 0.5) / 12
    uniforms = np.array([(first, second) for first in grid for second in grid])
    drawn = neighbors.draw(np.zeros(144, np.int64), uniforms)
    counts = dict.fromkeys(((a, b) for a in range(1, 5) for b in range(1, 5) if a != b), 0)
    for first, second in drawn.tolist():
        counts[first, second] += 1
    assert set(counts.values()) == {12}


def test_draws_beyond_a_short_list_repeat_it(tmp_path):
    neighbors = write(tmp_path / "neighbors")
    drawn = neighbors.draw(np.array([2, 1] * 500), np.random.default_rng(0).random((1000, 4)))
    assert {tuple(sorted(row)) for row in drawn[::2, :2].tolist()} == {(1, 3)}
    assert set(drawn[::2, 3].tolist()) == {1, 3}
    assert set(drawn[1::2].ravel().tolist()) == {0}


def test_a_failed_writer_leaves_the_old_artifact(tmp_path):
    write(tmp_path / "neighbors")
    with (
        pytest.raises(ValueError, match="lists of 1 images, 2 announced"),
        write_neighbors(tmp_path / "neighbors", 2, {}, {}) as writer,
    ):
        writer.append(np.array([1]), np.array([1]), np.array([0.5]))
    assert open_neighbors(tmp_path / "neighbors").count == 5


def test_empty_lists_are_refused(tmp_path):
    with pytest.raises(ValueError, match="empty"), write_neighbors(tmp_path / "neighbors", 2, {}, {}) as writer:
        writer.append(np.array([1, 0]), np.array([1]), np.array([0.5]))


def test_absent_and_damaged_artifacts_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="neighbors"):
        open_neighbors(tmp_path / "neighbors")
    folder = write(tmp_path / "neighbors").folder
    np.save(folder / "indptr.npy", np.array([0, 3, 2, 6, 9, 10]))
    with pytest.raises(UserError, match=r"indptr\.npy"):
        open_neighbors(folder)
    np.save(folder / "indptr.npy", np.array([0, 3, 4, 6, 9, 11]))
    with pytest.raises(UserError, match=r"indices\.npy: expected .*11"):
        open_neighbors(folder)
    (folder / "similarity.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"similarity\.npy: expected .* bytes"):
        open_neighbors(folder)
    (folder / "meta.json").write_text(json.dumps({"kind": "features", "schema": 1}))
    with pytest.raises(UserError, match="'neighbors', found 'features'"):
        open_neighbors(folder)
