import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_lib.artifacts.features import open_features
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.artifacts.unfinished import Unfinished
from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.backbones.extraction import extract_features
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError

SPLITS = {"train": 13, "val": 1}
SIZE = 32
CONFIGS = {
    "tiny": BackboneSettings(model="vit_tiny_patch16_224", weights=WeightsSettings(source="none"), image_size=SIZE),
    "convolutions": BackboneSettings(model="resnet18", weights=WeightsSettings(source="none"), image_size=SIZE),
    "pixels": BackboneSettings(model="pixels_rgb", image_size=SIZE),
}


class Loader:
    """Images of a split's rows, drawn from the row number."""

    def __init__(self, batch_size: int, left_out: int = 0, ends_after: int | None = None) -> None:
        self.batch_size = batch_size
        self.left_out = left_out
        self.ends_after = ends_after
        self.given: list[int] = []

    def __call__(self, split: str, rows: range) -> Iterator[tuple[Tensor, Tensor]]:
        stop = rows.stop - self.left_out
        for start in range(rows.start, stop, self.batch_size):
            batch = torch.arange(start, min(start + self.batch_size, stop))
            images = [image_of(split, int(row)) for row in batch]
            if self.ends_after is not None and len(self.given) >= self.ends_after:
                raise KeyboardInterrupt
            self.given += batch.tolist()
            yield batch, torch.stack(images)


def image_of(split: str, row: int) -> Tensor:
    generator = np.random.default_rng([len(split), row])
    return torch.from_numpy(generator.random((3, SIZE, SIZE), dtype=np.float32))


def extract(
    folder: Path,
    name: str,
    batch_size: int,
    left_out: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    loader: Loader | None = None,
    unfinished: Unfinished | None = None,
) -> dict[str, float]:
    backbone = build_backbone(CONFIGS[name])
    writer = FeaturesWriter(
        folder,
        splits=SPLITS,
        blocks=backbone.extractor.blocks,
        default_blocks=backbone.extractor.default_blocks,
        storage="float32",
        backbone=backbone.facts(),
        dataset_digest="0",
        made_by={},
        unfinished=unfinished,
    )
    fabric = runtime.start(device, precision)
    return extract_features(fabric, backbone.extractor, loader or Loader(batch_size, left_out), writer)


def stored(folder: Path, split: str) -> np.ndarray:
    features = open_features(folder)
    return features.split(split, tuple(features.blocks)).rows(slice(None))


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_do_not_depend_on_their_batch(tmp_path: Path, name: str) -> None:
    metrics = extract(tmp_path / "a", name, batch_size=5)
    extract(tmp_path / "b", name, batch_size=2)
    assert metrics["images"] == 14
    assert metrics["images_per_second"] == pytest.approx(14 / metrics["seconds"])
    extractor = build_backbone(CONFIGS[name]).extractor
    for split, count in SPLITS.items():
        one_by_one = torch.cat([extractor(image_of(split, row)[None]) for row in range(count)]).numpy()
        tolerance = 0 if name == "pixels" else 1e-5
        np.testing.assert_allclose(stored(tmp_path / "a", split), one_by_one, atol=tolerance, rtol=0)
        np.testing.assert_allclose(stored(tmp_path / "b", split), one_by_one, atol=tolerance, rtol=0)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        extract(tmp_path / name, "tiny", batch_size=5)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_loader_that_leaves_rows_out_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train: expected 13 images, the loader gave 12"):
        extract(tmp_path / "a", "pixels", batch_size=5, left_out=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_write_what_one_does(tmp_path: Path, repository: Path, name: str) -> None:
    extract(tmp_path / "one", name, batch_size=4)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_extraction import extract\n"
        f"extract(Path({str(tmp_path / 'two')!r}), {name!r}, batch_size=4)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for split in SPLITS:
        tolerance = 0 if name == "pixels" else 1e-5
        np.testing.assert_allclose(
            stored(tmp_path / "two", split), stored(tmp_path / "one", split), atol=tolerance, rtol=0
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "script.py", "two"]


def test_an_interrupted_run_goes_on_and_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    extract(tmp_path / "whole", "convolutions", batch_size=3)

    def run(loader: Loader, fingerprint: str = "f") -> None:
        unfinished = Unfinished("extract", "run", fingerprint, seconds=0)
        extract(tmp_path / "kept", "convolutions", batch_size=3, loader=loader, unfinished=unfinished)

    for ends_after in (6, 3):
        with pytest.raises(KeyboardInterrupt):
            run(Loader(3, ends_after=ends_after))
        assert not (tmp_path / "kept").exists()
    last = Loader(3)
    run(last)
    assert last.given == [9, 10, 11, 12, 0]  # the last rows of train, and val
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "kept" / path.name).read_bytes(), path.name
    assert not (tmp_path / "root" / "scratch" / "extract" / "run").exists()


def test_other_settings_start_anew_and_remove_what_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    for fingerprint in ("old", "new"):
        loader = Loader(3, ends_after=6)
        unfinished = Unfinished("extract", "run", fingerprint, seconds=0)
        with pytest.raises(KeyboardInterrupt):
            extract(tmp_path / "kept", "pixels", 3, loader=loader, unfinished=unfinished)
        assert loader.given == [0, 1, 2, 3, 4, 5]
    assert [path.name for path in (tmp_path / "root" / "scratch" / "extract" / "run").iterdir()] == ["new"]
