"""A small data set of bright discs on noise, with boxes and with masks for every second image."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from discs import COUNT, disc_mask, disc_of, image_of
from objects_kit import write_objects

from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import encoded_png


@pytest.fixture
def annotated() -> Callable[[Path], None]:
    """Writes ``images`` and ``objects`` below a folder."""

    def write(folder: Path) -> None:
        objects = []
        with DatasetWriter(folder / "images", ["disc"], None, {}) as writer:
            for row in range(COUNT):
                buffer = io.BytesIO()
                image_of(row).save(buffer, format="PNG")
                writer.add(100 + row, "train", image=buffer.getvalue(), label=0, class_name="disc")
                x, y, radius = disc_of(row)
                box = {"x0": x - radius, "y0": y - radius, "x1": x + radius + 1, "y1": y + radius + 1}
                objects.append(
                    {"id": 100 + row, "split": "train", "label": 0, "difficult": False, "crowd": False, **box}
                    | {"mask": encoded_png(disc_mask(row)) if row % 2 == 0 else None}
                )
        write_objects(folder / "objects", objects, [], ["disc"], {})

    return write
