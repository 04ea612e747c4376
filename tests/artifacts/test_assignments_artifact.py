import numpy as np
import pytest

from pipeline_lib.artifacts.assignments import head_columns, open_assignments, write_assignments
from pipeline_lib.base.errors import MissingFileError, UserError

HEADS, CLASSES = 3, 4
COUNTS = {"train": 11, "val": 5}


def split_arrays(split):
    """Ids (n,), labels (H, n) and probabilities (H, n, K) of a split."""
    count = COUNTS[split]
    rng = np.random.default_rng(count)
    probability = rng.dirichlet(np.ones(CLASSES), size=(HEADS, count)).astype(np.float32)
    ids = np.arange(count, dtype=np.int64) * 3 + 2**40
    return ids, probability.argmax(axis=-1).astype(np.int32), probability


def blocks(split, rows, best_head):
    ids, labels, probability = split_arrays(split)
    for start in range(0, COUNTS[split], rows):
        own = slice(start, start + rows)
        yield ids[own], labels[:, own], probability[:, own] if best_head is None else probability[best_head, own]


def write(folder, probabilities="best", rows=4, **changes):
    best_head = 1 if probabilities == "best" else None
    arguments = {
        "splits": {split: (count, blocks(split, rows, best_head)) for split, count in COUNTS.items()},
        "heads": HEADS,
        "classes": CLASSES,
        "best_head": 1,
        "probabilities": probabilities,
        "made_by": {"stage": "assign"},
    }
    write_assignments(folder, **(arguments | changes))
    return open_assignments(folder)


@pytest.mark.parametrize("probabilities", ["best", "all"])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_blocks_of_any_size_are_read_as_one(tmp_path, probabilities, rows):
    artifact = write(tmp_path / "a", probabilities, rows)
    assert (artifact.heads, artifact.classes, artifact.best_head, artifact.splits) == (HEADS, CLASSES, 1, COUNTS)
    assert artifact.probabilities == probabilities
    for split in COUNTS:
        ids, labels, probability = split_arrays(split)
        np.testing.assert_array_equal(artifact.ids(split), ids)
        assert artifact.ids(split).dtype == np.int64
        np.testing.assert_array_equal(artifact.labels(split), labels)
        assert artifact.labels(split).dtype == np.int32
        expected = probability[1] if probabilities == "best" else probability.transpose(1, 0, 2)
        np.testing.assert_array_equal(artifact.probability(split), expected.astype(np.float16))


def test_probabilities_are_mapped_and_not_held(tmp_path):
    assert isinstance(write(tmp_path / "a", "all").probability("train"), np.memmap)


def test_without_probabilities_there_is_no_file_of_them(tmp_path):
    bare = {
        split: (count, ((ids, labels, None) for ids, labels, _ in blocks(split, 4, 1)))
        for split, count in COUNTS.items()
    }
    artifact = write(tmp_path / "a", "none", splits=bare)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["meta.json", "train.parquet", "val.parquet"]
    np.testing.assert_array_equal(artifact.labels("val"), split_arrays("val")[1])
    with pytest.raises(UserError, match=r"assign\.probabilities = none: allowed: best, all, mean") as error:
        artifact.probability("val")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("stored", "given"), [("none", "best"), ("best", "none")])
def test_probabilities_are_given_where_they_are_stored_and_nowhere_else(tmp_path, stored, given):
    rows = ((ids, labels, p if given == "best" else None) for ids, labels, p in blocks("val", 5, 1))
    with pytest.raises(ValueError, match="probabilities"):
        write(tmp_path / "a", stored, splits={"val": (5, rows)})
    assert not (tmp_path / "a").exists()


def test_blocks_are_written_one_at_a_time(tmp_path):
    asked = []

    def counted():
        for number, block in enumerate(blocks("train", 4, 1)):
            asked.append(number)
            yield block

    write(tmp_path / "a", splits={"train": (11, counted()), "val": (5, blocks("val", 4, 1))})
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("probabilities", ["best", "all"])
def test_written_again_the_files_are_byte_equal(tmp_path, probabilities):
    write(tmp_path / "first", probabilities)
    write(tmp_path / "second", probabilities)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["meta.json", "train.parquet", "train_probability.npy", "val.parquet", "val_probability.npy"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("count", [10, 12])
def test_blocks_that_do_not_make_up_the_split_are_refused(tmp_path, count):
    with pytest.raises(ValueError, match="11"):
        write(tmp_path / "a", splits={"train": (count, blocks("train", 11, 1))})
    assert not (tmp_path / "a").exists()


def test_a_failure_while_writing_leaves_the_old_assignments(tmp_path):
    write(tmp_path / "a")

    def failing():
        yield next(blocks("train", 4, 1))
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError):
        write(tmp_path / "a", splits={"train": (11, failing())})
    np.testing.assert_array_equal(open_assignments(tmp_path / "a").labels("val"), split_arrays("val")[1])


def test_an_artifact_cut_short_or_absent_is_refused(tmp_path):
    write(tmp_path / "a")
    path = tmp_path / "a" / "val.parquet"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"val\.parquet: expected"):
        open_assignments(tmp_path / "a")
    with pytest.raises(MissingFileError, match="no assignments artifact"):
        open_assignments(tmp_path / "absent")


def test_column_names_sort_in_the_order_of_the_heads():
    names = head_columns(50)
    assert len(set(names)) == 50
    assert names == sorted(names)
