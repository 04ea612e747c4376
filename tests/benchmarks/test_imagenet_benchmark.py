"""The benchmark of all stages at a size that takes seconds, and the benchmark of a GPU on the CPU."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.imagenet import COLUMNS, table
from benchmarks.imagenet_parts.self_training import seconds_an_iteration

STAGES = ["knn", "train_heads", "assign", "consensus", "self_train", "evaluate"]


def run(repository, module, *options):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, options)],
        cwd=repository,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_every_stage_has_a_row(repository, tmp_path):
    sizes = ["--images", 800, "--held-out", 100, "--columns", 24, "--classes", 5, "--heads", 3, "--mean-length", 10]
    done = run(repository, "benchmarks.imagenet", "--tiny", *sizes, "--scratch", tmp_path, "--out", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "a.json").read_text())
    rows = {name: part["rows"][0] for name, part in found["parts"].items() if name != "generate"}
    assert list(rows) == STAGES
    assert {name for name, row in rows.items() if row["extrapolated"]} == {"train_heads", "self_train"}
    heads = rows["train_heads"]
    # 400 epochs of one batch of 800.
    assert heads["iterations"] == 400
    assert heads["seconds"] == pytest.approx(heads["set_up_seconds"] + 400 * heads["iteration_seconds"], rel=1e-2)
    assert rows["self_train"]["seconds"] > 12_000 * rows["self_train"]["iteration_seconds"] > 0
    assert all(row["host_gib"] > 0.1 for row in rows.values())
    assert "| " + " | ".join(COLUMNS) + " |" in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_sizes_that_would_fill_the_disk_are_refused(repository, tmp_path):
    sizes = ["--images", 10**8, "--columns", 2048, "--scratch", tmp_path, "--seconds", 60]
    done = run(repository, "benchmarks.imagenet", *sizes, "--out", tmp_path / "a.json")
    assert done.returncode == 1
    assert "GB may be written" in json.loads((tmp_path / "a.json").read_text())["parts"]["generate"]["error"]


def test_the_table_names_stages_without_figures_and_sums_the_others():
    row = {"measured_seconds": 30.0, "measured_share": 0.5, "seconds": 60.0, "extrapolated": True, "grows_with": "n"}
    parts = {"knn": {"rows": [row | {"host_gib": 1.0}]}, "assign": {"rows": []}, "evaluate": {"rows": [row]}}
    text = table({"parts": parts})
    assert "| knn | 30.0 s | 50.000% | about 60.0 s | n | 1.00 | – | – |" in text
    assert text.endswith("sum: about 2.0 min, without assign")


def test_seconds_of_an_iteration_come_from_a_difference_that_is_large_enough():
    asked = []

    def training(iterations):
        asked.append(iterations)
        return 5.0 + 0.01 * iterations

    assert seconds_an_iteration(training, 2.0) == pytest.approx(0.01)
    assert max(asked) > 200


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_on_a_cpu(repository, tmp_path):
    names = "knn,heads,extract,self_train,consensus"
    done = run(
        repository, "benchmarks.gpu", "--device", "cpu", "--tiny", "--parts", names, "--out", tmp_path / "a.json"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "a.json").read_text())
    assert list(found["parts"]) == names.split(",")
    for part in found["parts"].values():
        assert part["error"] is None
        assert part["rows"]
    ratios = [row["ucls_ratio"] for row in found["parts"]["heads"]["rows"]]
    assert all(0.05 < ratio < 20 for ratio in ratios)
