"""The figures that chapter 4 of the thesis prints (``conf/published_segins.csv``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.experiments.printed_tables import read_figures

PUBLISHED = Path("conf/published_segins.csv")
COLUMNS = ("table", "method", "multi_crop", "setting", "measure", "value", "note")


@dataclass(frozen=True)
class Figure:
    """One printed figure.

    Attributes:
        table: Table of the thesis, ``4.1`` to ``4.8``.
        method: Row, without marks.
        multi_crop: ``yes``, ``no``, or empty where the row was not pretrained with views.
        setting: What the row varies: λ, loss, pseudo-masks or pretraining data.
        measure: ``top1``, ``top5``, ``ap50``, ``ap``, ``ap75`` (PASCAL VOC), ``coco_…``, ``mask_…`` (COCO),
            ``frozen_miou``, ``fine_tuned_miou``.
        value: As printed, percent.
        note: Oddities of the printed figure.
    """

    table: str
    method: str
    multi_crop: str
    setting: str
    measure: str
    value: str
    note: str


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table: its values by measure, and the notes on them."""

    method: str
    multi_crop: str
    setting: str
    values: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Method with what the row varies."""
        crops = {"yes": "multi-crop", "no": "two crops"}.get(self.multi_crop, "")
        return ", ".join(part for part in (self.method, crops, self.setting.replace("lambda", "λ")) if part)


def load_published(path: Path = PUBLISHED) -> tuple[Figure, ...]:
    """Read the printed figures.

    Args:
        path: A CSV file with the columns ``COLUMNS``.

    Returns:
        The figures in the order of the file.

    Raises:
        MissingFileError: The file is absent.
        UserError: A column is missing, or a value is no number.
    """
    return tuple(Figure(**row) for row in read_figures(path, COLUMNS, ("value",)))


def rows_of(figures: Iterable[Figure], table: str) -> list[PublishedRow]:
    """Rows of a table in its order."""
    found: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        if figure.table == table:
            found.setdefault((figure.method, figure.multi_crop, figure.setting), []).append(figure)
    return [
        PublishedRow(
            *key,
            {cell.measure: cell.value for cell in cells},
            tuple(dict.fromkeys(cell.note for cell in cells if cell.note)),
        )
        for key, cells in found.items()
    ]
