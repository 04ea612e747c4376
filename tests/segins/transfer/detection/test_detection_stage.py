import json

import numpy as np
import pytest
from objects_kit import write_objects

from pipeline_lib.artifacts.detections import open_detections
from pipeline_lib.artifacts.objects import encoded_png, open_objects
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params
from stages import annotate, detection
from stages._context import SegInsContext


@pytest.fixture
def run(squares, repository, settings, monkeypatch):
    """Runs the stage on the squares with changed settings."""
    monkeypatch.setenv("DVC_ROOT", str(squares))

    def start(target="squares", **changes):
        chosen = settings(**changes).model_dump(mode="json")
        changed = {f"detection.{key}": value for key, value in chosen.items()}
        params = load_params(repository / "params.yaml", changed)
        context = SegInsContext("detection", params, "squares", "", squares, start="random", target=target)
        detection.run(context)
        return context

    return start


def names(*prefixes):
    return {prefix + name for prefix in prefixes for name in ("ap", "ap50", "ap75")}


@pytest.mark.slow
def test_the_stage_writes_detections_metrics_and_a_line(run, capsys):
    context = run()
    artifact = open_detections(context.transfer("detection"))
    found = artifact.detections()
    assert found.images.tolist() == [6, 7, 8, 9]
    assert found.masks is None
    assert set(found.ids.tolist()) <= set(found.images.tolist())
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [48, 40, 48, 40]).all()
    metrics = json.loads((context.root / "metrics/segins/squares/detection-random-squares.json").read_text())
    assert artifact.metrics == {name: metrics[name] for name in names("", "class_agnostic_")}
    assert (metrics["iterations"], metrics["test_images"], metrics["metric"]) == (4, 4, "voc_area")
    assert metrics["detections"] == len(found)
    assert set(artifact.class_precision) == {"red", "green"}
    assert [row["iteration"] for row in artifact.history] == [1, 2, 3, 4]
    assert "detection@squares-random-squares: 4 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_masks_are_found_in_the_images_pixels(run):
    context = run(masks=True, metric="coco", score_threshold=0.0, detections=3, test_images=2)
    artifact = open_detections(context.transfer("detection"))
    found = artifact.detections()
    assert found.images.tolist() == [6, 8]
    assert len(found) == 6
    for row in range(len(found)):
        mask = found.mask(row)
        assert mask.shape == (40, 48)
        _, top, right, _ = found.boxes[row]
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert rows.min() >= np.floor(top)
            assert columns.max() <= np.ceil(right)
    assert set(artifact.metrics) == names("", "class_agnostic_", "mask_")


@pytest.mark.slow
def test_equal_settings_give_equal_bytes(run):
    context = run()
    folder = context.transfer("detection")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    run()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.slow
def test_bright_squares_are_found(run):
    context = run(
        iterations=60,
        batch_size=3,
        learning_rate=0.01,
        short_sides=(64,),
        longest_side=128,
        anchor_sizes=(16, 32),
        rois=8,
        proposals=20,
        precise_batches=10,
    )
    assert open_detections(context.transfer("detection")).metrics["ap50"] > 0.2


def with_objects(squares, changes):
    folder = squares / "data" / "annotated" / "squares"
    objects = open_objects(folder / "objects")
    rows = []
    for number in range(10):
        own = objects.of(number)
        for k in range(len(own.boxes)):
            box = dict(zip(("x0", "y0", "x1", "y1"), own.boxes[k].tolist(), strict=True))
            facts = {"id": number, "split": "train" if number < 6 else "val", "label": int(own.labels[k])}
            rest = {"difficult": False, "crowd": False, "mask": encoded_png(own.masks[k])}
            rows.append(facts | box | rest | changes(number))
    write_objects(folder / "objects", [row for row in rows if row["label"] >= 0], [], ["red", "green"], {})


@pytest.mark.parametrize(
    ("changes", "settings_changed", "message"),
    [
        (lambda _: {"label": -1}, {}, "the data set has no boxes, which detection needs"),
        (lambda n: {"mask": None} if n == 7 else {}, {"masks": True}, "detection.masks = true: not every object of"),
        (lambda n: {"crowd": n == 3}, {}, "detection.metric = voc_area: .* crowd regions, .* use coco"),
        (lambda n: {"crowd": n < 6}, {"metric": "coco"}, "no image of the train split has a box"),
        pytest.param(
            lambda n: {"label": -1} if n > 5 else {},
            {},
            "none of the 4 tested images has an object",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_unusable_objects_are_refused_in_one_line(run, squares, changes, settings_changed, message):
    with_objects(squares, changes)
    with pytest.raises(UserError, match=message) as caught:
        run(**settings_changed)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(run, squares):
    (squares / "data/checkpoints/squares/random/meta.json").unlink()
    with pytest.raises(MissingFileError, match="data/checkpoints/squares/random"):
        run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "archive", "changes"),
    [
        ("voc2007", "voc-small/voc2007-small.zip", {}),
        ("coco", "coco-small/coco-small.zip", {"masks": True, "metric": "coco"}),
    ],
)
def test_real_images_train_and_are_evaluated(run, squares, repository, real_data_dir, name, archive, changes):
    import zipfile

    raw = squares / "data" / "raw" / name
    with zipfile.ZipFile(real_data_dir / archive) as opened:
        opened.extractall(raw)
    params = load_params(repository / "params.yaml")
    annotate.run(SegInsContext("annotate", params, name, "", squares))
    context = run(name, short_sides=(96, 128), longest_side=192, anchor_sizes=(16, 32, 64), test_images=8, **changes)
    metrics = open_detections(context.transfer("detection")).metrics
    assert all(0 <= value <= 1 for value in metrics.values())
    assert ("mask_ap" in metrics) == (name == "coco")
