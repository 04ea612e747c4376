"""Pictures of what rows of starts have made: detections (thesis Figure 4.1) and pseudo-masks (Figure 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path

from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.detections import open_detections
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.experiments.measures import Group, pretraining_of
from pipeline_lib.experiments.pictures import write_picture
from pipeline_lib.experiments.results import RowResult, RunResults
from pipeline_lib.experiments.rows import PictureKind
from pipeline_lib.images.decoding import decode
from pipeline_lib.reports.drawing.tiles import write_tiles
from pipeline_lib.reports.segins.comparisons import write_detections

ARTIFACT_PICTURES: tuple[PictureKind, ...] = ("detections", "masks")
"""Pictures that need more of a run than its metrics."""

_DEPTH = 3
"""Folders between an artifact, such as ``data/masks/scenes/moco``, and the folder of its step."""


def draw_picture(path: Path, kind: PictureKind, results: Sequence[RunResults], groups: Mapping[str, Group]) -> bool:
    """Draw one picture of an experiment set.

    Args:
        path: The PNG file.
        kind: ``detections``: of the last row that is compared with another, that other, the row and the truth;
            ``masks``: the masks of each source that the thesis has, of the first row with it; others as
            :func:`pipeline_lib.experiments.pictures.write_picture` has them.
        results: The runs; these two kinds take the first.
        groups: The groups of measures by name.

    Returns:
        Whether there was anything to draw.
    """
    if kind == "detections":
        return _detections(path.absolute(), results[0])
    if kind == "masks":
        return _masks(path, results[0])
    return write_picture(path, kind, results, groups)


def _detections(path: Path, run: RunResults) -> bool:
    by_name = {result.row.name: result for result in run.rows}
    pairs = [(by_name[result.row.against], result) for result in run.rows if result.row.against in by_name]
    found = [[(result.row.start, _detections_of(run, result)) for result in pair] for pair in pairs]
    drawn = [pair for pair in found if all(place is not None for _, place in pair)]
    if not drawn:
        return False
    runs = {start: open_detections(place) for start, place in drawn[-1] if place is not None}
    # Images may lie in a raw folder that only the folder of the step links to.
    with chdir(next(iter(runs.values())).folder.parents[_DEPTH]):
        folder = Path("data/annotated") / run.target
        dataset, objects = open_dataset(folder / "images"), open_objects(folder / "objects")
        split = next(iter(runs.values())).split
        rows = {int(image_id): row for row, image_id in enumerate(dataset.ids(split).tolist())}

        def read(image_id: int) -> Image.Image:
            return decode(dataset.image(split, rows[image_id]), dataset.name(split, rows[image_id]))

        write_detections(path, runs, objects, read)
    return True


def _detections_of(run: RunResults, result: RowResult) -> Path | None:
    return result.places.get(Path("data/transfer") / run.data / f"detection-{result.row.start}-{run.target}")


def _masks(path: Path, run: RunResults) -> bool:
    galleries: dict[str, Path] = {}
    for result in run.rows:
        method = pretraining_of(result.row.start)[0]
        place = result.places.get(Path("data/masks") / run.data / method)
        if place is not None and result.row.setting:
            gallery = place.parents[_DEPTH] / "reports" / f"segins-{run.data}" / f"masks-{method}.png"
            galleries.setdefault(result.row.setting, gallery)
    pictures = [Image.open(gallery).convert("RGB") for gallery in galleries.values()]
    if not pictures:
        return False
    size = max(picture.width for picture in pictures), sum(picture.height for picture in pictures)
    canvas, top = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height
    write_tiles(path, canvas)
    return True
