import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.masks import write_masks
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.resnet.projector import build_projector

pytestmark = pytest.mark.slow

SMALL = {
    "pretrain": {
        "global_size": 32,
        "epochs": 3,
        "batch_size": 8,
        "monitor_images": 8,
        "monitor_every": 2,
    },
    "machine": {"workers": 1, "checkpoint_seconds": 0.0},
    "simsiam": {"projector": 32, "predictor": 8},
    "moco": {"dimension": 16, "queue": 32},
}


@pytest.fixture
def place(tmp_path, repository):
    """A folder with parameters, images and pseudo-masks, in which stages can be run."""
    values = YAML(typ="safe", pure=True).load((repository / "params.yaml").read_text())
    for section, changes in SMALL.items():
        values[section] |= changes
    write_params(tmp_path, values)
    rng = np.random.default_rng(0)
    images = tmp_path / "data" / "annotated" / "scenes" / "images"
    with DatasetWriter(images, ["dark", "bright"], None, {}) as writer:
        for number, split in enumerate(["train"] * 32 + ["val"] * 8):
            label = number % 2
            buffer = io.BytesIO()
            pixels = rng.integers(100 * label, 100 * label + 100, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(buffer, format="PNG")
            writer.add(number, split, image=buffer.getvalue(), label=label, class_name=["dark", "bright"][label])
    for method in ("simsiam", "moco"):
        masks = (rng.random((40, 44)) > 0.5 for _ in range(32))
        folder = tmp_path / "data" / "masks" / "scenes" / method
        write_masks(folder, masks, open_dataset(images), source="contracam", threshold=0.5, made_by={})
    return tmp_path


def write_params(folder, values):
    with (folder / "params.yaml").open("w") as stream:
        YAML(typ="safe", pure=True).dump(values, stream)


def set_param(folder, section, key, value):
    values = YAML(typ="safe", pure=True).load((folder / "params.yaml").read_text())
    values[section][key] = value
    write_params(folder, values)


def command(folder, repository, stage, *options):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return {
        "args": [sys.executable, "-m", f"stages.{stage}", "--data", "scenes", *options],
        "cwd": folder,
        "env": kept | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "CI": "true"},
    }


def run(folder, repository, stage, *options, fails=False):
    done = subprocess.run(**command(folder, repository, stage, *options), capture_output=True, text=True, check=False)
    assert done.returncode == (1 if fails else 0), done.stderr
    return done.stderr if fails else done.stdout


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def metrics(folder, name):
    return json.loads((folder / "metrics" / "segins" / "scenes" / f"{name}.json").read_text())


def killed_in_training(folder, repository, stage, *options):
    """Start a stage and kill it as soon as it has stored its state."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(**command(folder, repository, stage, *options), **quiet)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob(f"scratch/{stage}/*/state.pt")):
            assert process.poll() is None, "the training ended before its state was seen"
            assert time.monotonic() < deadline, "no state was stored"
            time.sleep(0.01)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("stage", "method", "origin"), [("pretrain_baseline", "simsiam", "baseline"), ("pretrain_segins", "moco", "segins")]
)
def test_a_killed_pretraining_goes_on_where_it_was_to_the_same_bytes(place, repository, stage, method, origin):
    checkpoint = place / "data" / "checkpoints" / "scenes" / f"{method}-{origin}"
    output = run(place, repository, stage, "--method", method)
    assert "resuming" not in output
    assert re.search(r"3 epochs, loss .*, \d+ images/s, [\d.]+% of the time waiting for data", output)
    uninterrupted, measures = contents(checkpoint), metrics(place, f"{stage}-{method}")
    assert measures.keys() >= {"loss", "id_loss", "seg_loss", "embedding_std", "oracle_knn_acc", "collapsed", "epochs"}
    for path in checkpoint.iterdir():
        path.unlink()
    killed_in_training(place, repository, stage, "--method", method)
    # Settings of the machine decide no result and lose no progress.
    for key, value in {"device": "cpu", "workers": 0, "checkpoint_seconds": 60.0, "memory_gb": 0.5}.items():
        set_param(place, "machine", key, value)
    assert "resuming in epoch" in run(place, repository, stage, "--method", method)
    assert contents(checkpoint) == uninterrupted
    assert metrics(place, f"{stage}-{method}") == measures
    assert not list(place.glob(f"scratch/{stage}/*/*"))
    opened = open_checkpoint(checkpoint)
    assert (opened.architecture, opened.method, opened.origin) == ("resnet18", method, origin)
    assert [row["epoch"] for row in opened.history] == [2, 3]
    build_resnet("resnet18").load_state_dict(opened.backbone())
    assert build_projector(opened.projector())(torch.zeros(2, 512)).shape == (2, 32 if method == "simsiam" else 16)


def test_masks_of_other_images_are_refused(place, repository):
    meta = place / "data" / "annotated" / "scenes" / "images" / "meta.json"
    meta.write_text(meta.read_text() + "\n")
    complaint = run(place, repository, "pretrain_segins", "--method", "moco", fails=True)
    assert complaint.startswith("error: data/masks/scenes/moco: these masks were made for another data set")


def test_a_queue_that_batches_do_not_fill_is_refused(place, repository):
    set_param(place, "moco", "queue", 30)
    complaint = run(place, repository, "pretrain_baseline", "--method", "moco", fails=True)
    assert complaint == "error: moco.queue = 30: must be a multiple of the batch of 8\n"


def test_a_method_is_trained_with_its_own_batch(place, repository):
    set_param(place, "moco", "batch_size", 24)
    set_param(place, "moco", "queue", 36)
    said = run(place, repository, "pretrain_baseline", "--method", "moco", fails=True)
    assert said.splitlines()[-1].endswith("moco.queue = 36: must be a multiple of the batch of 24")


def test_a_finished_pretraining_is_taken_from_its_file(place, repository):
    backbone = build_resnet("resnet18").state_dict()
    head = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8)).state_dict()
    state = {f"module.encoder_q.{key}": value for key, value in backbone.items()}
    state |= {f"module.encoder_q.fc.{key}": value for key, value in head.items()}
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}, place / "moco.pth")
    set_param(place, "moco", "baseline", "moco.pth")
    run(place, repository, "pretrain_baseline", "--method", "moco")
    opened = open_checkpoint(place / "data" / "checkpoints" / "scenes" / "moco-baseline")
    assert all(torch.equal(value, backbone[key]) for key, value in opened.backbone().items())
    assert opened.projector().keys() == head.keys()
    set_param(place, "simsiam", "baseline", "moco.pth")
    complaint = run(place, repository, "pretrain_baseline", "--method", "simsiam", fails=True)
    assert complaint == "error: simsiam.baseline = moco.pth: holds a network that moco pretrained, not simsiam\n"
    set_param(place, "pretrain", "architecture", "resnet50")
    complaint = run(place, repository, "pretrain_baseline", "--method", "moco", fails=True)
    assert complaint == "error: moco.baseline = moco.pth: holds a resnet18, but pretrain.architecture = resnet50\n"


def test_random_weights_are_those_of_the_seed(place, repository):
    folder = place / "data" / "checkpoints" / "scenes" / "random"
    run(place, repository, "given_checkpoint", "--given", "random")
    first = contents(folder)
    run(place, repository, "given_checkpoint", "--given", "random")
    assert contents(folder) == first
    assert open_checkpoint(folder).method is None
    set_param(place, "segins_suite", "seed", 1)
    run(place, repository, "given_checkpoint", "--given", "random")
    assert contents(folder)[Path("backbone.safetensors")] != first[Path("backbone.safetensors")]
