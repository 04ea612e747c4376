import gzip
import io
import json
import pickle
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.download import downloading
from pipeline_lib.images.sources.fashion_mnist import DEBIAN_FOLDER, open_fashion_mnist, read_idx
from pipeline_lib.images.sources.records import Source
from pipeline_lib.images.sources.registry import open_source
from pipeline_lib.images.sources.torchvision_datasets import datasets

RNG = np.random.default_rng(0)


def pixels(encoded: bytes | None) -> np.ndarray:
    assert encoded is not None
    return np.asarray(Image.open(io.BytesIO(encoded)))


def all_pixels(source: Source, split: str) -> np.ndarray:
    return np.stack([pixels(record.image) for record in source.records() if record.split == split])


def labels(source: Source, split: str) -> list[int | None]:
    return [record.label for record in source.records() if record.split == split]


def test_digits_are_scaled_without_loss(tmp_path: Path) -> None:
    source = open_source("digits", tmp_path)
    original = load_digits()
    decoded = all_pixels(source, "train")
    assert source.counts == {"train": 1797}
    assert decoded.max() == 255
    assert (np.rint(decoded.astype(float) * 16 / 255) == original.images).all()
    assert labels(source, "train") == original.target.tolist()
    assert source.class_names == tuple("0123456789")


@pytest.fixture
def cifar_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Write small files in CIFAR's own format; torchvision's checksums are those of the real files."""

    def write(cifar: Any, train_names: list[str], label_key: str, label_sets: dict[str, list[int]]) -> dict[str, Any]:
        folder = tmp_path / cifar.base_folder
        folder.mkdir()
        data = {}
        for name, values in label_sets.items():
            data[name] = RNG.integers(0, 256, (len(values), 3072), dtype=np.uint8)
            (folder / name).write_bytes(pickle.dumps({"data": data[name], label_key: values}))
        tests = [name for name in label_sets if name not in train_names]
        monkeypatch.setattr(cifar, "train_list", [[name, None] for name in train_names])
        monkeypatch.setattr(cifar, "test_list", [[name, None] for name in tests])
        monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": None})
        return data

    return write


def channels_last(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def test_cifar10(cifar_batches: Callable[..., dict[str, np.ndarray]], tmp_path: Path) -> None:
    sets = {"data_batch_1": [3, 1], "data_batch_2": [0], "test_batch": [9, 2]}
    data = cifar_batches(datasets.CIFAR10, ["data_batch_1", "data_batch_2"], "labels", sets)
    names = [f"class {number}" for number in range(10)]
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    source = open_source("cifar10", tmp_path)
    assert source.counts == {"train": 3, "val": 2}
    train = np.concatenate([data["data_batch_1"], data["data_batch_2"]])
    assert (all_pixels(source, "train") == channels_last(train)).all()
    assert (all_pixels(source, "val") == channels_last(data["test_batch"])).all()
    assert labels(source, "train") == [3, 1, 0]
    assert [record.class_name for record in source.records()][3:] == ["class 9", "class 2"]


def test_cifar100_and_its_superclasses(
    cifar_batches: Callable[..., dict[str, np.ndarray]], tmp_path: Path, golden_dir: Path
) -> None:
    table = json.loads((golden_dir / "cifar100_to_cifar20_index.json").read_text())
    everything = list(range(100))
    cifar_batches(datasets.CIFAR100, ["train"], "fine_labels", {"train": everything, "test": [99, 4]})
    (tmp_path / "cifar-100-python" / "meta").write_bytes(pickle.dumps({"fine_label_names": table["fine_names"]}))
    fine, coarse = open_source("cifar100", tmp_path), open_source("cifar20", tmp_path)
    assert labels(fine, "train") == everything
    assert labels(coarse, "train") == table["fine_index_to_coarse_index"]
    assert labels(coarse, "val") == [table["fine_index_to_coarse_index"][label] for label in (99, 4)]
    assert coarse.class_names == tuple(table["coarse_names"])
    by_name = json.loads((golden_dir / "cifar100_to_cifar20.json").read_text())
    found = [record.class_name for record in coarse.records()][:100]
    assert found == [by_name[name] for name in table["fine_names"]]


def test_stl10(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = {name: RNG.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8) for name in ("train", "test")}
    for name, values in images.items():
        # The files keep channels, then columns, then rows.
        (folder / f"{name}_X.bin").write_bytes(values.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{name}_y.bin").write_bytes(bytes([10, 1]))
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    monkeypatch.setattr(datasets.STL10, "train_list", [["train_X.bin", None], ["train_y.bin", None]])
    monkeypatch.setattr(datasets.STL10, "test_list", [["test_X.bin", None], ["test_y.bin", None]])
    source = open_source("stl10", tmp_path)
    assert (all_pixels(source, "train") == images["train"]).all()
    assert (all_pixels(source, "val") == images["test"]).all()
    assert [record.class_name for record in source.records()] == ["j", "a", "j", "a"]
    (folder / "class_names.txt").unlink()
    with pytest.raises(MissingFileError, match=r"class_names\.txt: not found"):
        open_source("stl10", tmp_path)


def test_food101(put: Callable[..., Path]) -> None:
    root = put("food-101/images/pie/2.jpg", "food-101/images/pie/1.jpg", "food-101/images/egg/7.jpg")
    (root / "food-101" / "meta").mkdir()
    (root / "food-101" / "meta" / "train.json").write_text(json.dumps({"pie": ["pie/2"], "egg": ["egg/7"]}))
    (root / "food-101" / "meta" / "test.json").write_text(json.dumps({"pie": ["pie/1"], "egg": []}))
    source = open_source("food101", root)
    assert source.counts == {"train": 2, "val": 1}
    assert [(record.split, record.path, record.label, record.class_name) for record in source.records()] == [
        ("train", "food-101/images/egg/7.jpg", 0, "egg"),
        ("train", "food-101/images/pie/2.jpg", 1, "pie"),
        ("val", "food-101/images/pie/1.jpg", 1, "pie"),
    ]
    assert all((root / (record.path or "")).is_file() for record in source.records())


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "", "installed"])
@pytest.mark.parametrize("zipped", [True, False])
def test_fashion_mnist_files_in_each_place(tmp_path: Path, place: str, zipped: bool) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    train, test = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8), RNG.integers(0, 256, (2, 28, 28), dtype=np.uint8)
    for name, values in {
        "train-images-idx3-ubyte": train,
        "train-labels-idx1-ubyte": np.array([9, 0, 1], dtype=np.uint8),
        "t10k-images-idx3-ubyte": test,
        "t10k-labels-idx1-ubyte": np.array([2, 3], dtype=np.uint8),
    }.items():
        content = idx(values)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    source = open_fashion_mnist(tmp_path, installed=tmp_path / "installed")
    assert (all_pixels(source, "train") == train).all()
    assert (all_pixels(source, "val") == test).all()
    assert labels(source, "train") == [9, 0, 1]
    assert source.class_names is not None
    assert source.class_names[9] == "Ankle boot"


def test_damaged_idx_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    good = idx(np.zeros((2, 3), dtype=np.uint8))
    for content in (good[:-1], good[:6], b"", b"\0\0\x0d" + good[3:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="expected an idx file of unsigned bytes"):
            read_idx(path)
    zipped = tmp_path / "x.gz"
    zipped.write_bytes(gzip.compress(good)[:-9])
    with pytest.raises(UserError, match="does not unpack"):
        read_idx(zipped)


@pytest.mark.slow
def test_real_fashion_mnist(tmp_path: Path) -> None:
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    source = open_source("fashion_mnist", tmp_path)
    assert source.counts == {"train": 60000, "val": 10000}
    evaluated = [record.label or 0 for record in source.records() if record.split == "val"]
    assert np.bincount(evaluated).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("cifar10", "cifar-10-batches-py/"),
        ("cifar100", "cifar-100-python/"),
        ("cifar20", "cifar-100-python/"),
        ("stl10", "stl10_binary/"),
        ("food101", "food-101/"),
        ("fashion_mnist", "FashionMNIST/raw/"),
    ],
)
def test_failed_download_says_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, wanted: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network\nhere")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(
        "pipeline_lib.images.sources.fashion_mnist.open_fashion_mnist.__defaults__", (tmp_path / "absent",)
    )
    with pytest.raises(MissingFileError) as caught:
        open_source(kind, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{kind}: not found in {tmp_path}, download failed (")
    assert "no network here" in str(caught.value)
    assert f"put {wanted}" in str(caught.value)


def test_time_limit_of_downloads_is_taken_back(tmp_path: Path) -> None:
    with downloading("x", tmp_path, "y"):
        assert socket.getdefaulttimeout() is not None
    assert socket.getdefaulttimeout() is None
