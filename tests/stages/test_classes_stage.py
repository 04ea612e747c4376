import json
import shutil
import sys

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline_lib.artifacts.class_count import open_class_count
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.features_writer import FeaturesWriter
from stages import classes
from stages._context import run_stage

RUN = "digits-pixels"
PLANTED = 4
IMAGES = 240


def write_inputs(folder, labelled):
    """Images without content, and features of planted classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % PLANTED
    values = (8 * np.eye(PLANTED, 10)[labels] + rng.standard_normal((IMAGES, 10))).astype(np.float32)
    with DatasetWriter(folder / "data/datasets/digits", None, None, {}) as writer:
        for id, label in enumerate(labels):
            writer.add(id, "train", image=b"none", label=int(label) if labelled else None)
    writer = FeaturesWriter(
        folder / "data/features" / RUN,
        splits={"train": IMAGES},
        blocks={"pixels": (0, 10)},
        default_blocks=("pixels",),
        storage="float32",
        backbone={},
        dataset_digest="00",
        made_by={},
    )
    with writer.opened():
        writer.write("train", np.arange(IMAGES), values)


def set_classes(folder, given, **section):
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["datasets"]["digits"]["classes"] = given
    params["classes"].update(section)
    yaml.dump(params, folder / "params.yaml")


@pytest.fixture
def workspace(tmp_path, monkeypatch, repository):
    shutil.copy(repository / "params.yaml", tmp_path)
    write_inputs(tmp_path, labelled=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["classes", "--data", "digits", "--backbone", "pixels"])
    return tmp_path


def run(folder):
    """Run the stage and give its metrics, and the bytes of all that it wrote."""
    run_stage(classes.run, "classes", "Choose.")
    written = [folder / "data/classes" / RUN / "classes.json", folder / "data/classes" / RUN / "meta.json"]
    written += [folder / "metrics" / RUN / "classes.json", folder / "reports" / RUN / "classes.png"]
    return json.loads(written[2].read_text()), [path.read_bytes() for path in written]


@pytest.mark.slow
def test_auto_finds_the_planted_classes_and_makes_the_same_again(workspace, capsys):
    set_classes(workspace, "auto")
    metrics, content = run(workspace)
    count = open_class_count(workspace / "data/classes" / RUN)
    assert (metrics["classes"], metrics["oracle_classes"], count.classes) == (PLANTED, PLANTED, PLANTED)
    assert (count.candidates[0], count.candidates[-1]) == (2, 15)
    assert metrics["score"] == pytest.approx(count.scores[count.candidates.index(PLANTED)], abs=1e-4)
    assert f"{PLANTED} classes, of {metrics['candidates']} candidates" in capsys.readouterr().out
    assert run(workspace)[1] == content


def test_the_choice_does_not_look_at_labels(workspace):
    set_classes(workspace, "auto")
    labelled = run(workspace)
    shutil.rmtree(workspace / "data/datasets/digits")
    shutil.rmtree(workspace / "data/features" / RUN)
    write_inputs(workspace, labelled=False)
    metrics, content = run(workspace)
    assert content[:2] == labelled[1][:2]
    assert "oracle_classes" not in metrics


def test_a_given_number_is_passed_on_whatever_the_section_says(workspace, capsys):
    set_classes(workspace, 9)
    metrics, content = run(workspace)
    assert metrics == {"classes": 9, "candidates": 0, "oracle_classes": PLANTED}
    assert open_class_count(workspace / "data/classes" / RUN).given
    assert "9 classes, given" in capsys.readouterr().out
    set_classes(workspace, 9, restarts=5, neighbors=7, min=3)
    assert run(workspace)[1] == content


def test_candidates_that_the_images_cannot_fill_end_in_one_line(workspace):
    set_classes(workspace, "auto", max=200)
    with pytest.raises(SystemExit) as caught:
        run(workspace)
    assert str(caught.value) == "error: classes: max = 200: at most half of the 240 images is allowed"
    assert not (workspace / "data/classes" / RUN).exists()
