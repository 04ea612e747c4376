"""The pipeline in a small copy of the repository: what DVC runs and skips, refusals, own images, resuming."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline_lib.artifacts.folder import read_meta

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

RUN = "digits-pixels"
CHAIN = (
    "prepare",
    "extract",
    "classes",
    "bounds",
    "knn",
    "train_heads",
    "assign",
    "consensus",
    "self_train",
    "evaluate",
)
LABELLED = {
    "ucls": {"self_trained_acc", "ensemble_nmi", *(f"oracle_self_trained_{name}" for name in ("acc", "nmi", "ari"))},
    "bounds": {
        "kmeans_ari",
        "turtle_acc",
        *(f"umap_kmeans_{measure}" for measure in ("acc", "nmi", "ari")),
        *(f"upper_bound_{name}_{measure}" for name in ("knn", "linear_probe") for measure in ("acc", "nmi", "ari")),
        "upper_bound_neighbors_best_head_nmi",
        "upper_bound_neighbors_mean_acc",
    },
}
QUICK = {
    "prepare.limit_per_split": 300,
    "train_heads.heads": 3,
    "train_heads.iterations": 60,
    "self_train.iterations": 200,
    "bounds.linear_probe_iterations": 200,
    "bounds.turtle.steps": 30,
    "bounds.true_neighbor_heads": 2,
    "bounds.true_neighbor_iterations": 60,
    "segins_suite.method": ["moco"],
    "segins_suite.start": ["random", "moco-segins"],
    "scenes.train": 48,
    "scenes.val": 16,
    "pretrain.epochs": 1,
    "pretrain.batch_size": 16,
    "moco.queue": 32,
    "masks.batch_size": 16,
    "linear_eval.epochs": 2,
    "detection.iterations": 2,
    "detection.warmup": 1,
    "detection.precise_batches": 1,
    "detection.test_images": 8,
    "segmentation.modes": ["frozen"],
    "segmentation.iterations": 2,
    "segmentation.batch_size": 2,
    "segmentation.test_images": 8,
}


def environment():
    """Without what ties a process to another repository or user; no commit and no cache goes there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    kept.pop("PYTHONPATH", None)
    author = {f"GIT_{role}_NAME": "test" for role in ("AUTHOR", "COMMITTER")}
    author |= {f"GIT_{role}_EMAIL": "test@localhost" for role in ("AUTHOR", "COMMITTER")}
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | author | plain | {"PATH": path, "CI": "true", "OMP_NUM_THREADS": "1"}


def call(folder, *command, fails=False):
    """Run a command in ``folder`` and give all of its output."""
    result = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert (result.returncode != 0) == fails, f"{' '.join(command)} exited with {result.returncode}:\n{result.stdout}"
    return result.stdout


def dvc(folder, *arguments, fails=False):
    return call(folder, sys.executable, "-m", "dvc", *arguments, fails=fails)


def stage(folder, name, data="digits", fails=False):
    backbone = () if name == "prepare" else ("--backbone", "pixels")
    return call(folder, sys.executable, "-m", f"stages.{name}", "--data", data, *backbone, fails=fails)


def set_params(folder, changes):
    yaml = YAML()
    path = folder / "params.yaml"
    params = yaml.load(path)
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        assert last in section, f"params.yaml has no {key}"
        section[last] = value
    yaml.dump(params, path)


def stages_run(output):
    return {line.split("'")[1].split("@")[0] for line in output.splitlines() if line.startswith("Running stage")}


def all_stages(folder):
    return set(YAML(typ="safe", pure=True).load(folder / "dvc.yaml")["stages"])


def contents(folder, besides=()):
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = {path.relative_to(folder): path for path in files}
    return {name: path.read_bytes() for name, path in relative.items() if name.parts[0] not in besides}


def measures(folder, run=RUN, name="ucls"):
    return json.loads((folder / "metrics" / run / f"{name}.json").read_text())


def error_line(output):
    """The only line that tells of the error; there is no traceback."""
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, output
    return lines[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory, repository):
    """A committed copy with quick parameters after ``dvc repro``, and what that printed."""
    if not (repository / ".git").exists():
        pytest.skip("this is no Git checkout")
    folder = tmp_path_factory.mktemp("pipeline") / "copy"
    listed = call(repository, "git", "ls-files", "-z", "-co", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (repository / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, folder / name)
    set_params(folder, QUICK)
    call(folder, "git", "init", "--quiet")
    output = dvc(folder, "repro")
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "quick suite")
    return folder, output


@pytest.fixture
def clone(base, tmp_path):
    """A copy of ``base`` that the test may change."""
    return shutil.copytree(base[0], tmp_path / "clone", symlinks=True)


@pytest.fixture(scope="module")
def experiment(base, tmp_path_factory):
    """A copy in which the threshold was changed by an experiment, and what that printed."""
    folder = shutil.copytree(base[0], tmp_path_factory.mktemp("experiment") / "clone", symlinks=True)
    return folder, dvc(folder, "exp", "run", "-S", "knn.threshold=0.3")


def test_repro_runs_all_stages_to_finite_measures(base):
    folder, output = base
    assert stages_run(output) == all_stages(folder) >= set(CHAIN)
    for name, expected in LABELLED.items():
        found = measures(folder, name=name)
        assert found.keys() >= expected
        assert all(math.isfinite(value) for value in found.values())
    # Ten classes: an accuracy of 0.1 is chance.
    assert 0.4 < measures(folder)["self_trained_acc"] <= measures(folder)["oracle_self_trained_acc"] <= 1
    bounds = measures(folder, name="bounds")
    assert 0.4 < bounds["kmeans_acc"] < bounds["upper_bound_linear_probe_acc"] <= 1
    assert bounds["upper_bound_neighbors_best_head_acc"] > 0.4
    assert read_meta(folder / "data" / "bounds" / RUN, "bounds", 1)["methods"] == ["kmeans", "umap_kmeans", "turtle"]


def test_repro_runs_the_segins_chain_to_its_report(base):
    folder, _ = base
    table = json.loads((folder / "metrics" / "scenes-segins.json").read_text())
    for start in QUICK["segins_suite.start"]:
        for measure in ("top1", "knn_acc", "ap", "frozen_miou"):
            assert 0 <= table[f"{start}_{measure}"] <= 1
    page = (folder / "reports" / "segins-scenes" / "report.html").read_text()
    assert "SegIns (MoCo-V2), multi-crop" in page
    assert page.count("data:image/png;base64,") == 3


def test_git_takes_metrics_and_no_artifact(base):
    tracked = call(base[0], "git", "ls-files").splitlines()
    assert f"metrics/{RUN}/ucls.json" in tracked
    assert not [name for name in tracked if name.startswith("scratch/") or name.endswith((".npy", ".parquet"))]
    assert not [name for name in tracked if name.startswith("data/") and not name.startswith("data/raw/")]


def test_a_second_repro_runs_nothing(clone):
    before = contents(clone / "data") | contents(clone / "metrics")
    assert stages_run(dvc(clone, "repro")) == set()
    assert contents(clone / "data") | contents(clone / "metrics") == before
    assert call(clone, "git", "status", "--short") == ""


def test_an_experiment_reruns_the_stages_that_depend_on_the_parameter_and_no_others(base, experiment):
    folder, output = experiment
    # check reads all of params.yaml; its output is the same, so that nothing follows from it.
    expected = {"check", *CHAIN[CHAIN.index("knn") :]} | ({"report"} & all_stages(folder))
    assert stages_run(output) == expected
    for unchanged in ("datasets", "features"):
        assert contents(folder / "data" / unchanged) == contents(base[0] / "data" / unchanged)
    before, after = measures(base[0], name="knn"), measures(folder, name="knn")
    assert after["neighbors_mean"] > before["neighbors_mean"]


def test_metrics_diff_shows_what_the_experiment_changed(experiment):
    rows = [line.split() for line in dvc(experiment[0], "metrics", "diff").splitlines()]
    changed = {(row[0], row[1]) for row in rows if len(row) > 1}
    assert (f"metrics/{RUN}/knn.json", "neighbors_mean") in changed
    assert {name for file, name in changed if file == f"metrics/{RUN}/ucls.json"} & {"ensemble_nmi", "ensemble_anmi"}
    assert not [file for file, _ in changed if file.endswith("prepare.json")]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("+knn.treshold=0.3", "knn.treshold = 0.3: unknown key; did you mean threshold? allowed: "),
        ("knn.threshold=1.5", "knn.threshold = 1.5: allowed: "),
        ("suite.data=[nope]", "suite.data = ['nope']: 'nope' is not one of digits, "),
    ],
)
def test_a_wrong_setting_stops_before_any_work_with_one_line(base, clone, setting, expected):
    output = dvc(clone, "exp", "run", "-S", setting, fails=True)
    assert error_line(output).startswith(f"error: params.yaml: {expected}")
    assert stages_run(output) == {"check"}
    if "suite" in setting:
        # DVC takes away the outputs of stages that are not selected; they are in its cache.
        call(clone, "git", "checkout", "--quiet", ".")
        dvc(clone, "checkout")
    assert contents(clone / "data", besides=("checks",)) == contents(base[0] / "data", besides=("checks",))
    assert contents(clone / "metrics") == contents(base[0] / "metrics")


def own_images(clone, count=36):
    """Small images of three colours, with noise, in one folder without classes."""
    folder = clone / "data" / "raw" / "my_images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = np.full((16, 16, 3), 40) + 160 * np.eye(3, dtype=int)[number % 3]
        noisy = (pixels + rng.integers(-20, 20, size=pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:03d}.png")
    set_params(clone, {"datasets.my_images.classes": 3, "prepare.limit_per_split": None})
    return folder


def test_images_without_labels_go_through_the_whole_chain(clone):
    own_images(clone)
    for name in CHAIN:
        stage(clone, name, "my_images")
    expected = {"ucls": {"heads_pairwise_nmi", "ensemble_anmi", "self_trained_kl_to_uniform"}}
    expected["bounds"] = {"kmeans_silhouette", "umap_kmeans_silhouette", "turtle_kl_to_uniform"}
    for name, label_free in expected.items():
        found = measures(clone, "my_images-pixels", name)
        assert label_free <= found.keys()
        assert not [key for key in found if re.search(r"_(acc|ari)$|^upper_bound|^oracle", key)]
        assert all(math.isfinite(value) for value in found.values())
    assert not [name for name in measures(clone, "my_images-pixels", "knn") if "oracle" in name]
    assert measures(clone, "my_images", "prepare")["labelled_share"] == 0


def test_an_empty_folder_is_refused_with_one_line(clone):
    (clone / "data" / "raw" / "my_images").mkdir(parents=True)
    output = stage(clone, "prepare", "my_images", fails=True)
    assert error_line(output).startswith("error: data/raw/my_images: no image in it")
    assert not (clone / "data" / "datasets" / "my_images").exists()


def test_a_folder_that_is_not_there_is_refused_with_one_line(clone):
    output = stage(clone, "prepare", "my_images", fails=True)
    assert error_line(output).startswith("error: data/raw/my_images: no such folder")


def test_an_image_that_cannot_be_decoded_is_listed_or_stops_the_run(clone):
    folder = own_images(clone)
    Image.new("RGB", (64, 64)).save(folder / "broken.jpg")
    (folder / "broken.jpg").write_bytes((folder / "broken.jpg").read_bytes()[:200])
    stage(clone, "prepare", "my_images")
    found = measures(clone, "my_images", "prepare")
    assert (found["images"], found["unreadable"]) == (36, 1)
    assert found["unreadable_paths"] == ["broken.jpg"]
    before = contents(clone / "data" / "datasets" / "my_images")
    set_params(clone, {"prepare.unreadable": "stop"})
    assert "data/raw/my_images/broken.jpg" in error_line(stage(clone, "prepare", "my_images", fails=True))
    assert contents(clone / "data" / "datasets" / "my_images") == before


def killed_in_training(clone):
    """Start ``train_heads`` and kill it as soon as it has stored its state."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train_heads"],
        cwd=clone,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(clone.glob("scratch/train_heads/*/state.pt")):
            assert process.poll() is None, "the training ended before its state was seen"
            assert time.monotonic() < deadline, "no state was stored"
            time.sleep(0.01)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_training_goes_on_where_it_was_to_the_same_bytes(clone):
    set_params(clone, {"machine.checkpoint_seconds": 0.0, "train_heads.iterations": 300})
    heads = clone / "data" / "heads" / RUN
    shutil.rmtree(heads)
    assert "resuming" not in stage(clone, "train_heads")
    uninterrupted = contents(heads)
    shutil.rmtree(heads)
    killed_in_training(clone)
    assert not heads.exists()
    # Settings of the machine decide no result and lose no progress.
    machine = {"device": "cpu", "workers": 0, "checkpoint_seconds": 60.0, "memory_gb": 0.0}
    set_params(clone, {f"machine.{key}": value for key, value in machine.items()})
    output = stage(clone, "train_heads")
    epoch, epochs = map(int, re.search(r"resuming after epoch (\d+) of (\d+)", output).groups())
    assert 0 < epoch < epochs
    assert Path("teacher.safetensors") in uninterrupted
    assert contents(heads) == uninterrupted
    assert not list(clone.glob("scratch/train_heads/*/*"))
