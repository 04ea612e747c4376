"""Transfer stages and masks in two processes give what one gives, and a killed stage goes on."""

import json

import pytest
import torch.multiprocessing as multiprocessing
from shapes_kit import SMALL, write_images, write_start
from transfer_processes import spawn

from pipeline_lib.artifacts.detections import open_detections
from pipeline_lib.artifacts.segmentations import open_segmentations

pytestmark = pytest.mark.slow

DETECTION = {
    "iterations": 3,
    "batch_size": 4,
    "warmup": 1,
    "short_sides": [32, 48],
    "longest_side": 64,
    "anchor_sizes": [16, 24],
    "anchors": 16,
    "rois": 4,
    "training_proposals": 20,
    "proposals": 5,
    "precise_batches": 2,
    "test_images": 9,
    "learning_rate": 0.001,
}
CHANGES = {
    "linear_eval": {"linear_eval.augment": True, "linear_eval.batch_size": 5},
    # With fewer, batch statistics of a few values amplify the last bits.
    "segmentation": {"segmentation.batch_size": 4},
    "detection": {f"detection.{key}": value for key, value in DETECTION.items()},
    "masks": {"masks.batch_size": 4, "masks.image_size": 64},
}
NAMES = {
    "linear_eval": {"data": "shapes", "start": "random"},
    "segmentation": {"data": "shapes", "start": "random", "target": "shapes"},
    "detection": {"data": "shapes", "start": "random", "target": "shapes"},
    "masks": {"data": "shapes", "method": "moco"},
}


@pytest.fixture
def run(tmp_path, repository):
    """Runs a stage in a folder of its own and gives that folder."""

    def start(stage, processes, port, killed_after=None, again="", **changes):
        root = tmp_path / f"{stage}-{processes}{again}"
        if not root.exists():
            write_images(root / "data/annotated/shapes")
            for name in ("random", "moco-baseline"):
                write_start(root / "data/checkpoints/shapes" / name)
        chosen = SMALL | CHANGES[stage] | changes
        spawn(stage, root, repository, processes, port, chosen, NAMES[stage], killed_after)
        return root

    return start


def metrics(root):
    (path,) = (root / "metrics").rglob("*.json")
    return json.loads(path.read_text())


def written(root):
    folders = [root / name for name in ("data/transfer", "data/masks", "metrics", "reports")]
    files = [path for folder in folders for path in folder.rglob("*.*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_masks_of_two_processes_have_the_bytes_of_one(run):
    one, two = (written(run("masks", processes, 29621)) for processes in (1, 2))
    assert any(name.startswith("data/masks/") for name in one)
    assert two == one


@pytest.mark.parametrize("augment", [True, False])
def test_linear_evaluation_in_two_processes_measures_what_one_does(run, augment):
    one, two = (metrics(run("linear_eval", n, 29622, **{"linear_eval.augment": augment})) for n in (1, 2))
    assert two == pytest.approx(one, abs=0.03)


def test_segmentation_in_two_processes_learns_what_one_does(run):
    one, two = (run("segmentation", processes, 29623) for processes in (1, 2))
    assert metrics(two) == pytest.approx(metrics(one), abs=2e-3)
    first, second = (open_segmentations(r / "data/transfer/shapes/segmentation-random-shapes") for r in (one, two))
    for mode in ("frozen", "fine_tuned"):
        assert first.maps[mode].keys() == second.maps[mode].keys()
        for expected, found in zip(first.modes[mode]["history"], second.modes[mode]["history"], strict=True):
            assert found == pytest.approx(expected, rel=1e-4)


def test_detection_in_two_processes_learns_what_one_does(run):
    one, two = (run("detection", processes, 29624) for processes in (1, 2))
    first, second = (open_detections(r / "data/transfer/shapes/detection-random-shapes") for r in (one, two))
    assert [row["iteration"] for row in second.history] == [1, 2, 3]
    for expected, found in zip(first.history, second.history, strict=True):
        assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert second.detections().images.tolist() == first.detections().images.tolist()
    assert len(first.detections().images) == 9


@pytest.mark.parametrize(("stage", "processes", "states"), [("detection", 2, 2), ("linear_eval", 1, 4)])
def test_a_killed_stage_goes_on_to_the_same_bytes(run, stage, processes, states, capfd):
    expected = written(run(stage, processes, 29625))
    with pytest.raises(multiprocessing.ProcessExitedException, match="SIGKILL"):
        run(stage, processes, 29626, killed_after=states, again="-killed")
    capfd.readouterr()
    assert written(run(stage, processes, 29627, again="-killed")) == expected
    assert capfd.readouterr().out.count("resuming") == 1


def test_a_batch_that_cannot_be_shared_is_refused(run):
    with pytest.raises(multiprocessing.ProcessRaisedException, match=r"segmentation.batch_size = 3: not divisible"):
        run("segmentation", 2, 29628, **{"segmentation.batch_size": 3})
