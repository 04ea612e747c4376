"""Pictures of detections and masks that rows of starts have made, each in the folder of its step."""

import io

import numpy as np
import pytest
from objects_kit import write_objects
from PIL import Image

from commands.runs.artifact_pictures import draw_picture
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.detections import Detections, write_detections
from pipeline_lib.experiments.results import RowResult, RunResults
from pipeline_lib.experiments.rows import Row


def detection_step(folder, start, score):
    """A step's folder: images, true objects and a detection of the only image."""
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "black").save(buffer, format="PNG")
    with DatasetWriter(folder / "data/annotated/voc/images", ["square"], None, {}) as writer:
        writer.add(7, "val", image=buffer.getvalue())
    box = dict(zip(("x0", "y0", "x1", "y1"), (2, 2, 9, 9), strict=True))
    facts = {"id": 7, "split": "val", "label": 0, "difficult": False, "crowd": False, "mask": None}
    write_objects(folder / "data/annotated/voc/objects", [facts | box], [], ["square"], {})
    found = Detections(
        np.array([7]),
        np.array([7]),
        np.zeros(1, dtype=np.int32),
        np.array([score], dtype=np.float32),
        np.array([[2, 2, 9, 9]], dtype=np.float32),
        None,
        np.zeros((1, 2), dtype=np.int32),
    )
    artifact = f"data/transfer/scenes/detection-{start}-voc"
    facts = {"metrics": {}, "class_precision": {}, "history": [], "made_by": {}}
    write_detections(folder / artifact, found, class_names=["square"], split="val", **facts)
    return {type(folder)(artifact): folder / artifact}


def test_detections_are_those_of_the_last_pair_that_has_them(tmp_path):
    rows = [
        RowResult(Row(start="moco-baseline", name="two"), places=detection_step(tmp_path / "a", "moco-baseline", 0.1)),
        RowResult(
            Row(start="moco-segins", name="two +", against="two"),
            places=detection_step(tmp_path / "b", "moco-segins", 0.1),
        ),
        RowResult(
            Row(start="moco-baseline", name="multi"), places=detection_step(tmp_path / "c", "moco-baseline", 0.9)
        ),
        RowResult(
            Row(start="moco-segins", name="multi +", against="multi"),
            places=detection_step(tmp_path / "d", "moco-segins", 0.9),
        ),
        RowResult(Row(start="moco-segins", name="not run", against="multi")),
    ]
    paths = [tmp_path / "pictures" / name for name in ("all.png", "first.png")]
    assert draw_picture(paths[0], "detections", [RunResults("scenes", rows, target="voc")], {})
    assert draw_picture(paths[1], "detections", [RunResults("scenes", rows[:2], target="voc")], {})
    # Scores of 0.1 are told in another title.
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert Image.open(paths[0]).size == Image.open(paths[1]).size
    nothing = tmp_path / "nothing.png"
    assert not draw_picture(nothing, "detections", [RunResults("scenes", rows[:1], target="voc")], {})
    assert not nothing.exists()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_masks_of_each_source_of_the_thesis_stand_below_each_other(tmp_path, count):
    rows = [RowResult(Row(start="simsiam-baseline", name="base"))]
    for number, (name, source) in enumerate((("a", "contracam"), ("b", ""), ("c", "tokencut"), ("d", "contracam"))):
        folder = tmp_path / name
        artifact = folder / "data/masks/scenes/simsiam"
        gallery = folder / "reports/segins-scenes/masks-simsiam.png"
        gallery.parent.mkdir(parents=True)
        Image.new("RGB", (30, 10 + number), "red").save(gallery)
        places = {artifact.relative_to(folder): artifact}
        rows.append(RowResult(Row(start="simsiam-segins", name=name, setting=source), places=places))
    path = tmp_path / "masks.png"
    shown = {0: rows[:1], 1: rows[:3], 2: rows}[count]
    assert draw_picture(path, "masks", [RunResults("scenes", shown)], {}) == (count > 0)
    if count:
        assert Image.open(path).size == (30, {1: 10, 2: 22}[count])
