"""The recipes of docs/adding.md, word for word, in a copy of the repository: what they cost, and that they run."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline_lib.artifacts.checkpoint import open_checkpoint
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.masks import write_masks

ROOT = Path(__file__).resolve().parents[1]
CODE = ("pipeline_lib", "stages", "commands", "conf", "params.yaml", "dvc.yaml", "docs/parameters.md")
WRITTEN = {"dvc.yaml", "docs/parameters.md"}
"""What ``make deps`` writes after a recipe."""
BLOCK = re.compile(r"^`([^`]+)` \((?:new|before `([^`]+)`)\):\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Copy:
    """A copy of the repository's code.

    Attributes:
        folder: Where it is.
        new: Files that a recipe wrote.
        touched: Files in which it put lines.
    """

    folder: Path
    new: list[str]
    touched: list[str]

    def python(self, *arguments: str, quiet: bool = False) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "CI": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not (quiet and done.stderr), done.stderr
        return done.stdout

    def stage(self, name: str, *options: str) -> str:
        return self.python("-m", f"stages.{name}", *options)

    def set(self, **changes: object) -> None:
        """Set values of params.yaml by dotted key, with ``__`` for the dot."""
        path = self.folder / "params.yaml"
        values = YAML(typ="safe", pure=True).load(path.read_text())
        for key, value in changes.items():
            section, _, name = key.partition("__")
            values[section][name] = value
        with path.open("w") as stream:
            YAML(typ="safe", pure=True).dump(values, stream)

    def metrics(self, name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "metrics" / f"{name}.json").read_text())
        return found


def recipe(title: str) -> list[tuple[str, str | None, str]]:
    """Path, text before which the lines go (None: a new file), and lines of each block of a recipe."""
    page = (ROOT / "docs" / "adding.md").read_text()
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [(path, before or None, text) for path, before, text in BLOCK.findall(section)]


def follow(folder: Path, title: str) -> Copy:
    copy = Copy(folder, [], [])
    for name in CODE:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for path, before, text in recipe(title):
        file = folder / path
        if before is None:
            assert not file.exists()
            file.write_text(text)
            copy.new.append(path)
        else:
            lines = file.read_text().splitlines(keepends=True)
            place = next(number for number, line in enumerate(lines) if line.strip().startswith(before))
            margin = lines[place][: -len(lines[place].lstrip())]
            file.write_text("".join([*lines[:place], textwrap.indent(text, margin), *lines[place:]]))
            copy.touched += [path] if path not in copy.touched else []
    return copy


def changed(copy: Copy) -> tuple[list[str], list[str]]:
    """New and changed files of the copy against this repository."""
    files = [path for path in copy.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    names = [path.relative_to(copy.folder).as_posix() for path in files]
    new = [name for name in names if not (ROOT / name).exists()]
    kept = [name for name in names if name not in new]
    return sorted(new), sorted(name for name in kept if (copy.folder / name).read_bytes() != (ROOT / name).read_bytes())


def assert_costs(copy: Copy, new: list[str], touched: list[str]) -> None:
    assert (sorted(copy.new), sorted(copy.touched)) == (new, touched)
    assert changed(copy) == (new, touched)
    # ``make deps``; a key that nothing explains would be told.
    for command in ("deps", "reference"):
        copy.python("-m", f"commands.{command}", quiet=True)
        copy.python("-m", f"commands.{command}", "--check", quiet=True)
    new_files, changed_files = changed(copy)
    assert new_files == new
    assert set(touched) <= set(changed_files) <= {*touched, *WRITTEN}


def write_toy_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, ["dark", "bright"], None, {}) as writer:
        for number, split in enumerate(["train"] * 24 + ["val"] * 8):
            label = number % 2
            pixels = rng.integers(100 * label, 100 * label + 100, (40, 44, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, format="PNG")
            name = ["dark", "bright"][label]
            writer.add(number, split, image=buffer.getvalue(), label=label, class_name=name)


@pytest.mark.slow
def test_a_pretraining_method_is_one_new_file_and_two_touched(tmp_path):
    copy = follow(tmp_path, "A pretraining method")
    pretraining = "pipeline_lib/segins/pretraining"
    assert_costs(copy, [f"{pretraining}/byol.py"], ["params.yaml", f"{pretraining}/methods.py"])
    copy.set(segins_suite__method=["simsiam", "byol"], segins_suite__start=["random", "byol-baseline", "byol-segins"])
    copy.set(pretrain__global_size=32, pretrain__batch_size=8, byol__hidden=32, byol__dimension=16)
    images = tmp_path / "data/annotated/scenes/images"
    write_toy_images(images)
    masks = (np.random.default_rng(1).random((40, 44)) > 0.5 for _ in range(24))
    write_masks(
        tmp_path / "data/masks/scenes/byol", masks, open_dataset(images), source="contracam", threshold=0.5, made_by={}
    )
    copy.stage("check")
    for kind in ("baseline", "segins"):
        copy.stage(f"pretrain_{kind}", "--data", "scenes", "--method", "byol")
        trained = open_checkpoint(tmp_path / f"data/checkpoints/scenes/byol-{kind}")
        assert (trained.method, trained.history[-1]["epoch"]) == ("byol", 2)
        measures = copy.metrics(f"segins/scenes/pretrain_{kind}-byol")
        assert -1 <= measures["id_loss"] <= 1
        assert (measures["seg_loss"] != 0) == (kind == "segins")
    assert trained.projector()["3.weight"].shape == (16, 32)
    code = "from pipeline_lib.experiments.measures import start_title; print(start_title('byol-segins'))"
    assert copy.python("-c", code) == "SegIns (BYOL)\n"
    refused = subprocess.run(
        [sys.executable, "-m", "stages.pretrain_baseline", "--data", "scenes", "--method", "byoll"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.stderr == "error: --method byoll: not one of simsiam, byol\n"


@pytest.mark.slow
def test_a_head_loss_with_a_knob_is_one_new_file_and_its_registry(tmp_path):
    copy = follow(tmp_path, "A head loss")
    assert_costs(copy, ["pipeline_lib/ucls/heads/capped.py"], ["pipeline_lib/ucls/heads/settings.py"])
    copy.set(prepare__limit_per_split=200, train_heads__heads=2, train_heads__iterations=40)
    for name in ("prepare", "extract", "classes", "knn"):
        copy.stage(name, "--data", "digits")
    losses = []
    for cap in (0.01, 3.0):
        copy.set(train_heads__loss="capped", train_heads__cap=cap)
        copy.stage("train_heads", "--data", "digits")
        assert '"loss": "capped"' in (tmp_path / "data/heads/digits-pixels/meta.json").read_text()
        losses.append(copy.metrics("digits-pixels/train_heads")["loss"])
    assert losses[0] < losses[1], "the knob reaches the loss"


@pytest.mark.slow
def test_an_image_source_is_one_new_file_and_its_registry(tmp_path):
    copy = follow(tmp_path, "An image source")
    sources = "pipeline_lib/images/sources"
    assert_costs(copy, [f"{sources}/list_file.py"], [f"{sources}/registry.py"])
    copy.set(datasets__my_list={"source": "list", "classes": 2})
    raw = tmp_path / "data/raw/my_list"
    raw.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(raw / f"{number}.png")
    lines = [f"{number}.png {'train' if number < 4 else 'val'} {'emu' if number % 2 else 'ant'}" for number in range(6)]
    (raw / "images.txt").write_text("\n".join(lines))
    copy.stage("prepare", "--data", "my_list")
    dataset = open_dataset(tmp_path / "data/datasets/my_list")
    assert (dataset.splits, list(dataset.class_names)) == ({"train": 4, "val": 2}, ["ant", "emu"])
    np.testing.assert_array_equal(dataset.oracle_labels("train"), [0, 1, 0, 1])


@pytest.mark.slow
def test_a_consensus_method_is_one_new_file_and_its_registry(tmp_path):
    copy = follow(tmp_path, "A consensus method")
    consensus = "pipeline_lib/ucls/consensus"
    assert_costs(copy, [f"{consensus}/medoid.py"], [f"{consensus}/methods.py"])
    copy.set(consensus__methods=["medoid", "vote"], consensus__choose="medoid")
    code = """
import numpy as np
from pipeline_lib.params.params import load_params
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.methods import DEFAULT_METHODS
section = load_params().consensus
assignments = np.random.default_rng(0).integers(0, 4, (5, 300))
result = build_consensus(assignments, 4, methods=section.methods, choose=section.choose)
print(*result.methods, result.chosen, result.methods["medoid"].note[:4], *DEFAULT_METHODS)
assert any((result.labels == labels).all() for labels in assignments)
"""
    assert copy.python("-c", code) == "medoid vote medoid head cspa hgpa mcla vote medoid\n"


@pytest.mark.slow
def test_a_stage_is_a_script_and_an_entry_whose_code_deps_are_filled_in(tmp_path):
    copy = follow(tmp_path, "A stage")
    assert_costs(copy, ["stages/brightness.py"], ["dvc.yaml"])
    stages = YAML(typ="safe", pure=True).load((tmp_path / "dvc.yaml").read_text())["stages"]
    code = [path for path in stages.pop("brightness")["deps"] if not path.startswith("data/")]
    assert {"pipeline_lib/artifacts/dataset.py", "pipeline_lib/images/decoding.py", "stages/brightness.py"} <= set(code)
    assert stages == YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    write_toy_images(tmp_path / "data/datasets/digits")
    copy.stage("brightness", "--data", "digits")
    assert 0.3 < copy.metrics("digits/brightness")["brightness"] < 0.5


def test_the_page_has_a_recipe_for_each_row_of_its_table():
    page = (ROOT / "docs" / "adding.md").read_text()
    rows = re.findall(r"^\| \[([^]]+)\]\(#([^)]+)\)", page, re.MULTILINE)
    titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [title[0].lower() + title[1:] for title in titles]
    assert [anchor for _, anchor in rows] == [title.lower().replace(" ", "-") for title in titles]
