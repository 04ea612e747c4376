import io
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.backbones import engines
from pipeline_lib.base import precision
from stages import extract
from stages._context import run_stage

SIDE = 32
IMAGES = 10


@pytest.fixture
def workspace(tmp_path, monkeypatch, repository):
    """Ten images, and a backbone of few convolutions with random weights."""
    yaml = YAML()
    params = yaml.load(repository / "params.yaml")
    params["backbones"]["small"] = {"model": "mobilenetv3_small_050", "weights": {"source": "none"}, "image_size": SIDE}
    params["machine"].update({"device": "cpu", "workers": 0})
    params["extract"].update({"batch_size": 4, "storage": "float32"})
    yaml.dump(params, tmp_path / "params.yaml")
    rng = np.random.default_rng(0)
    with DatasetWriter(tmp_path / "data/datasets/digits", None, None, {}) as writer:
        for id in range(IMAGES):
            encoded = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(encoded, format="PNG")
            writer.add(id, "train", image=encoded.getvalue())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["extract", "--data", "digits", "--backbone", "small"])
    return tmp_path


def extracted(folder, section=(), machine=()):
    """Run the stage; gives the features, and the bytes of the artifact by name of the file."""
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["extract"].update(section)
    params["machine"].update(machine)
    yaml.dump(params, folder / "params.yaml")
    artifact = folder / "data/features/digits-small"
    if artifact.exists():
        shutil.rmtree(artifact)
    run_stage(extract.run, "extract", "")
    rows = open_features(artifact).split("train").rows(slice(None))
    return rows, {path.name: path.read_bytes() for path in artifact.iterdir()}


def recorded(files):
    """Precision and engine, as the artifact says of its backbone and of its settings."""
    meta = json.loads(files["meta.json"])
    told = [
        {key: facts[key] for key in ("precision", "engine")}
        for facts in (meta["backbone"], meta["made_by"]["settings"])
    ]
    assert told[0] == told[1]
    return tuple(told[0].values())


@pytest.mark.slow
def test_onnxruntime_gives_torchs_features_with_any_number_of_workers_and_threads(workspace, capsys):
    by_torch, files = extracted(workspace, {"engine": "torch"})
    assert recorded(files) == ("float32", "torch")
    rows, files = extracted(workspace, {"engine": "onnxruntime"}, {"threads": 1})
    assert recorded(files) == ("float32", "onnxruntime")
    assert "images/s by onnxruntime in float32" in capsys.readouterr().out
    np.testing.assert_allclose(rows, by_torch, atol=1e-4 * max(1, np.abs(by_torch).max()), rtol=0)
    assert rows.std(axis=0).max() > 100 * np.abs(rows - by_torch).max()
    again = extracted(workspace, {"precision": "auto"}, {"threads": 2, "workers": 2})[1]
    assert again == files


@pytest.mark.parametrize(("fast", "taken"), [(True, "bfloat16"), (False, "float32")])
def test_the_artifact_records_what_auto_took(workspace, monkeypatch, capsys, fast, taken):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda _: fast)
    _, files = extracted(workspace, {"precision": "auto", "engine": "auto"})
    assert recorded(files) == (taken, "torch")
    captured = capsys.readouterr()
    assert f"images/s by torch in {taken}" in captured.out
    assert captured.err == ""
    _, named = extracted(workspace, {"precision": taken, "engine": "torch"})
    assert named == files


def test_what_auto_cannot_take_is_said(workspace, monkeypatch, capsys):
    monkeypatch.setattr(engines, "WORTH_AN_EXPORT", IMAGES)
    monkeypatch.setattr(engines, "absent_packages", lambda: ["onnxruntime"])
    _, files = extracted(workspace, {"engine": "auto"})
    assert recorded(files) == ("float32", "torch")
    assert "warning: extract.engine = auto: torch runs" in capsys.readouterr().err


def test_slow_bfloat16_is_warned_of_and_taken(workspace, monkeypatch, capsys):
    monkeypatch.setattr(precision, "bfloat16_factor", lambda _: 17.0)
    _, files = extracted(workspace, {"precision": "bfloat16"})
    assert recorded(files) == ("bfloat16", "torch")
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert "17.0 times as long as in float32" in warnings[0]
