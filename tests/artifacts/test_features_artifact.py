from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.base.errors import MissingFileError, UserError

BLOCKS = {"cls": (0, 3), "patch_mean": (3, 6), "cls_-2": (6, 8)}
VALUES = {
    "train": np.random.default_rng(0).normal(size=(11, 8)).astype(np.float32),
    "val": np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32),
}


def make_writer(folder: Path, storage: str = "float32", default: tuple[str, ...] = ("cls", "patch_mean")):
    return FeaturesWriter(
        folder,
        splits={split: len(values) for split, values in VALUES.items()},
        blocks=BLOCKS,
        default_blocks=default,
        storage=storage,
        backbone={"model": "made_up"},
        dataset_digest="00ff",
        made_by={"stage": "extract", "seed": 0},
    )


def write_all(folder: Path, storage: str = "float32") -> None:
    writer = make_writer(folder, storage)
    with writer.opened():
        for split, values in VALUES.items():
            for start in range(0, len(values), 3):
                rows = np.arange(start, min(start + 3, len(values)))
                writer.write(split, rows, values[rows])


def test_rows_come_back_with_the_blocks_in_the_order_asked_for(tmp_path: Path) -> None:
    write_all(tmp_path / "features")
    features = open_features(tmp_path / "features")
    indices = np.array([7, 0, 7, 10])
    for blocks in (["cls_-2", "cls"], ["patch_mean"], ["cls", "patch_mean", "cls_-2"], ["cls_-2", "patch_mean", "cls"]):
        expected = np.concatenate([VALUES["train"][:, slice(*BLOCKS[b])] for b in blocks], axis=1)
        got = features.split("train", blocks).rows(indices)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected[indices])
        np.testing.assert_array_equal(features.split("train", blocks).rows(slice(2, 9, 3)), expected[2:9:3])
        assert features.dimension(blocks) == expected.shape[1]
    np.testing.assert_array_equal(features.split("val").rows(indices % 4), VALUES["val"][indices % 4, :6])
    assert features.splits == {"train": 11, "val": 4}
    assert features.blocks == BLOCKS
    assert features.backbone == {"model": "made_up"}
    assert features.dataset_digest == "00ff"


def test_the_returned_rows_are_a_copy(tmp_path: Path) -> None:
    write_all(tmp_path / "features")
    view = open_features(tmp_path / "features").split("train", ["cls"])
    view.rows(slice(0, 4))[:] = 5
    np.testing.assert_array_equal(view.rows(slice(0, 4)), VALUES["train"][:4, :3])


def test_float16_is_stored_as_such_and_read_as_float32(tmp_path: Path) -> None:
    write_all(tmp_path / "features", "float16")
    assert np.load(tmp_path / "features" / "train.npy").dtype == np.float16
    got = open_features(tmp_path / "features").split("train").rows(slice(None))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, VALUES["train"][:, :6].astype(np.float16).astype(np.float32))


def test_arrays_are_mapped_not_read(tmp_path: Path) -> None:
    write_all(tmp_path / "features")
    assert isinstance(open_features(tmp_path / "features").split("train").array, np.memmap)


def test_two_writers_share_the_files(tmp_path: Path) -> None:
    first, second = make_writer(tmp_path / "features"), make_writer(tmp_path / "features")
    shared: list[str] = []
    with first.opened(0, lambda path: shared.append(path) or path):
        with second.opened(1, lambda _: shared[0]):
            second.write("val", np.arange(4), VALUES["val"])
            second.write("train", np.arange(5, 11), VALUES["train"][5:])
        first.write("train", np.arange(5), VALUES["train"][:5])
    np.testing.assert_array_equal(
        open_features(tmp_path / "features").split("train").rows(slice(None)), VALUES["train"][:, :6]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_writing_twice_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_all(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["meta.json", "train.npy", "val.npy"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_row_and_block_and_the_old_artifact_stays(
    tmp_path: Path, bad: float
) -> None:
    write_all(tmp_path / "features")
    before = (tmp_path / "features" / "train.npy").read_bytes()
    values = VALUES["train"][4:8].copy()
    values[2, 4] = bad
    writer = make_writer(tmp_path / "features")
    with pytest.raises(UserError, match=r"train image row 6 .*not finite \(block patch_mean\)"), writer.opened():
        writer.write("train", np.arange(4, 8), values)
    assert (tmp_path / "features" / "train.npy").read_bytes() == before


def test_values_too_large_for_float16_name_the_parameter(tmp_path: Path) -> None:
    values = np.full((1, 8), 7e4, dtype=np.float32)
    writer = make_writer(tmp_path / "features", "float16")
    with (
        pytest.raises(UserError, match=r"extract\.storage = float16.*row 2 reach 7e\+04.*use float32"),
        writer.opened(),
    ):
        writer.write("val", np.array([2]), values)


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    write_all(tmp_path / "features")
    features = open_features(tmp_path / "features")
    with pytest.raises(UserError, match="no feature block 'cls_-9'; it has cls, patch_mean, cls_-2"):
        features.split("train", ["cls", "cls_-9"])
    with pytest.raises(UserError, match="no split 'test'; it has train, val"):
        features.split("test")
    with pytest.raises(UserError, match="no feature block chosen"):
        features.dimension([])
    with pytest.raises(UserError, match="float64: allowed are float16, float32"):
        make_writer(tmp_path / "other", "float64")


def test_a_file_of_another_shape_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no features artifact here"):
        open_features(tmp_path / "absent")
    write_all(tmp_path / "features")
    path = tmp_path / "features" / "train.npy"
    data = np.load(path)
    np.save(path, data.reshape(8, 11))
    with pytest.raises(UserError, match=r"train\.npy: expected float32 \(11, 8\), found float32 \(8, 11\)"):
        open_features(tmp_path / "features")
