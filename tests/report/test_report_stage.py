import io
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.artifacts.classifier import write_classifier
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.heads import write_heads
from pipeline_lib.artifacts.neighbors import write_neighbors
from stages import report
from stages.command_line import run_stage

IMAGES = 30


def write_images(folder):
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, None, None, {}) as writer:
        for id in range(IMAGES):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(stream, format="PNG")
            writer.add(id, "val", image=stream.getvalue())


def write_predictions(folder):
    ids = np.arange(IMAGES, dtype=np.int64)
    probability = np.linspace(0.4, 1, IMAGES, dtype=np.float32)
    write_classifier(
        folder,
        state={
            "mean": torch.zeros(1),
            "inverse_scale": torch.ones(1),
            "weight": torch.ones(3, 1),
            "bias": torch.zeros(3),
        },
        backbone={},
        blocks=[("pixels", 1)],
        cluster_names=None,
        scaling="none",
        grid=[{"name": "a"}],
        chosen="a",
        predictions={"val": [(ids, (ids % 2).astype(np.int32), probability, np.zeros(IMAGES, np.float32))]},
        made_by={},
    )


def write_training(heads, neighbors):
    state = {"weight": torch.ones(1)}
    write_heads(
        heads,
        student=state,
        teacher=state,
        shape={"classes": 3},
        blocks=["pixels"],
        temperature=0.1,
        head_loss=[-0.1, -0.2],
        history=[{"epoch": 1, "loss": -0.15, "prior_entropy": 1.0, "head_loss": [-0.1, -0.2]}],
        made_by={},
    )
    with write_neighbors(neighbors, 4, {}, {}) as writer:
        writer.append(np.array([1, 2, 1, 1]), np.array([1, 0, 2, 0, 0]), np.ones(5, np.float16))


@pytest.fixture
def workspace(tmp_path, monkeypatch, repository):
    shutil.copy(repository / "params.yaml", tmp_path)
    run = "digits-pixels"
    write_images(tmp_path / "data/datasets/digits")
    write_predictions(tmp_path / "data/classifier" / run)
    write_training(tmp_path / "data/heads" / run, tmp_path / "data/neighbors" / run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", "--data", "digits", "--backbone", "pixels"])
    return tmp_path


def test_stage_writes_both_pictures_and_the_same_again(workspace, capsys):
    folder = workspace / "reports" / "digits-pixels"
    run_stage(report.run, "report", "Draw figures.")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"clusters.png", "training.png"}
    assert "3 of 3 clusters" in capsys.readouterr().out
    shutil.rmtree(folder)
    run_stage(report.run, "report", "Draw figures.")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
