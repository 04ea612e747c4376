import io
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.artifacts.assignments import write_assignments
from pipeline_lib.artifacts.classifier import write_classifier
from pipeline_lib.artifacts.consensus import ConsensusSplit, MethodScores, write_consensus
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from pipeline_lib.artifacts.folder import write_json
from pipeline_lib.artifacts.heads import write_heads
from pipeline_lib.artifacts.neighbors import write_neighbors
from pipeline_lib.base.errors import MissingFileError, UserError
from stages import report
from stages._context import run_stage, stage_context

IMAGES = 30


def write_images(folder):
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, None, None, {}) as writer:
        for id in range(IMAGES):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(stream, format="PNG")
            writer.add(id, "val", image=stream.getvalue())
        for id in range(IMAGES, IMAGES + 4):
            writer.add(id, "train", image=stream.getvalue())


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
    settings = {"threshold": 0.5, "centred": True, "normalise_blocks": True}
    with write_neighbors(neighbors, 4, settings, {}) as writer:
        writer.append(np.array([1, 2, 1, 1]), np.array([1, 0, 2, 0, 0]), np.ones(5, np.float16))


def write_ensemble(features, assignments, consensus, images=IMAGES):
    ids = np.arange(images, dtype=np.int64)
    labels = (ids % 2).astype(np.int32)
    writer = FeaturesWriter(
        features,
        splits={"val": images},
        blocks={"pixels": (0, 4)},
        default_blocks=["pixels"],
        storage="float32",
        backbone={},
        dataset_digest="",
        made_by={},
    )
    with writer.opened():
        writer.write("val", ids, np.random.default_rng(0).normal(size=(images, 4)))
    write_assignments(
        assignments,
        splits={"val": (images, [(ids, np.stack([labels, labels]), np.full((images, 3), 0.3, np.float32))])},
        heads=2,
        classes=3,
        best_head=1,
        probabilities="best",
        made_by={"stage": "assign", "settings": {"probabilities": "best"}},
    )
    split = ConsensusSplit(
        ids, {"vote": labels}, "vote", {"vote": MethodScores(1.0, 2)}, np.full(images, 0.5, np.float32)
    )
    write_consensus(consensus, splits={"val": split}, classes=3, settings={}, made_by={})


@pytest.fixture
def workspace(tmp_path, monkeypatch, repository):
    shutil.copy(repository / "params.yaml", tmp_path)
    run = "digits-pixels"
    write_images(tmp_path / "data/datasets/digits")
    write_predictions(tmp_path / "data/classifier" / run)
    write_training(tmp_path / "data/heads" / run, tmp_path / "data/neighbors" / run)
    write_ensemble(*(tmp_path / "data" / kind / run for kind in ("features", "assignments", "consensus")))
    write_json(tmp_path / "metrics" / run / "ucls.json", {"ensemble_anmi": 0.75})
    write_json(tmp_path / "metrics" / run / "knn.json", {"mutual_share": 0.625})
    write_json(tmp_path / "metrics" / run / "consensus.json", {"chosen": "vote", "val_vote_anmi": 0.5})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", "--data", "digits", "--backbone", "pixels"])
    return tmp_path


FILES = {
    "report.html",
    *(f"{name}.png" for name in ("clusters", "scores", "sizes", "map", "training", "neighbors", "confusion")),
}


@pytest.mark.slow
def test_stage_writes_page_and_pictures_and_the_same_again(workspace, capsys):
    folder = workspace / "reports" / "digits-pixels"
    run_stage(report.run, "report", "Draw pictures.")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == FILES
    assert "3 clusters" in capsys.readouterr().out
    page = first["report.html"].decode()
    assert "0.750" in page
    assert "62.5%" in page
    assert "vote, chosen" in page
    assert "val, id 29" in page
    assert "No labels are known" in page
    shutil.rmtree(folder)
    run_stage(report.run, "report", "Draw pictures.")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.slow
def test_bounds_are_shown_where_they_were_computed(workspace):
    write_json(workspace / "metrics" / "digits-pixels" / "bounds.json", {"turtle_acc": 0.625})
    run_stage(report.run, "report", "Draw pictures.")
    page = (workspace / "reports" / "digits-pixels" / "report.html").read_text()
    assert "TURTLE" in page
    assert "0.625" in page


def test_absent_metrics_are_named(workspace):
    (workspace / "metrics" / "digits-pixels" / "ucls.json").unlink()
    with pytest.raises(MissingFileError, match=r"ucls\.json"):
        report.run(stage_context("report", ""))


def test_artifacts_of_other_images_are_refused(workspace):
    run = "digits-pixels"
    folders = (workspace / "data" / kind / run for kind in ("features", "assignments", "consensus"))
    write_ensemble(*folders, images=IMAGES - 1)
    with pytest.raises(UserError, match="29 rows of agreement for 30 images"):
        report.run(stage_context("report", ""))
