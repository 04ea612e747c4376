"""The values that the thesis (2024) prints, its own and those it cites: one a line of ``conf/published*.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError

CHAPTER_4 = Path("conf/published_segins.csv")
CHAPTER_6 = Path("conf/published.csv")
COLUMNS = {
    CHAPTER_4.name: ("table", "method", "multi_crop", "setting", "measure", "value", "note"),
    CHAPTER_6.name: (
        "table", "dataset", "method", "backbone", "variant", "measure", "value", "sd", "source", "note",
    ),
}  # fmt: skip
"""Columns of each file, by its name."""

_NUMERIC = ("value", "sd")


@dataclass(frozen=True)
class PublishedValue:
    """One printed value; what its chapter does not have is empty.

    Attributes:
        table: Table of the thesis, such as ``6.9``, or ``Figure 6.2`` for what its text says of a figure.
        method: Row of the table, without marks and citations.
        measure: ``acc``, ``nmi``, ``ari``, ``nn_acc``, ``knn_acc``, ``linear_probe_acc`` in percent, ``nn_count``,
            ``train_images`` and others as counts;
            of chapter 4 ``top1``, ``top5``, ``ap50``, ``ap``, ``ap75`` (PASCAL VOC), ``coco_…``, ``mask_…`` (COCO),
            ``frozen_miou``, ``fine_tuned_miou``, all in percent.
        value: As printed.
        note: Oddities of the printed value.
        dataset: Data set, in the thesis' spelling.
        backbone: Backbone, in the thesis' spelling.
        variant: What was evaluated: ``best_head``, ``overall`` (mean and deviation over the heads), ``ensemble_val``
            (†), ``ensemble_self_trained`` (‡), ``published`` (by others) and a few more.
        sd: Standard deviation as printed.
        source: ``thesis``, or ``thesis, from [n]`` for a value that it cites, with its reference number.
        multi_crop: ``yes``, ``no``, or empty where the row was not pretrained with views.
        setting: What the row varies: λ, loss, pseudo-masks or pretraining data.
    """

    table: str
    method: str
    measure: str
    value: str
    note: str = ""
    dataset: str = ""
    backbone: str = ""
    variant: str = ""
    sd: str = ""
    source: str = ""
    multi_crop: str = ""
    setting: str = ""

    @property
    def text(self) -> str:
        """Value with its deviation, as printed."""
        return f"{self.value} ± {self.sd}" if self.sd else self.value

    @property
    def row_title(self) -> str:
        """Method with what the row varies."""
        crops = {"yes": "multi-crop", "no": "two crops"}.get(self.multi_crop, "")
        return ", ".join(part for part in (self.method, crops, self.setting.replace("lambda", "λ")) if part)


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table of chapter 4: its values by measure, and the notes on them."""

    title: str
    values: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """Printed values, in the order of the files."""

    values: tuple[PublishedValue, ...]

    def find(
        self,
        table: str,
        dataset: str,
        method: str,
        variant: str,
        measure: str,
        backbones: Iterable[str] = ("",),
        *,
        setting: str = "",
        multi_crop: str = "",
    ) -> PublishedValue | None:
        """The value of one cell of a table.

        Args:
            table: Table of the thesis.
            dataset: Data set.
            method: Row.
            variant: What was evaluated.
            measure: Measure.
            backbones: Backbones in the order in which they are preferred, where the table has several.
            setting: What the row varies.
            multi_crop: Which crops are preferred, where the table has both.

        Returns:
            The value, or ``None`` where the thesis has none.
        """
        wanted = (table, dataset, method, variant, measure, setting)
        cells = [
            cell
            for cell in self.values
            if (cell.table, cell.dataset, cell.method, cell.variant, cell.measure, cell.setting) == wanted
        ]
        order = list(backbones)

        def place(cell: PublishedValue) -> tuple[int, bool]:
            position = order.index(cell.backbone) if cell.backbone in order else len(order)
            return position, cell.multi_crop != multi_crop

        return min(cells, key=place, default=None)

    def of_dataset(self, tables: Iterable[str], dataset: str) -> tuple[PublishedValue, ...]:
        """All values for one data set in some tables."""
        chosen = set(tables)
        return tuple(cell for cell in self.values if cell.table in chosen and cell.dataset == dataset)

    def datasets(self, table: str) -> tuple[str, ...]:
        """Data sets of a table, in its order; empty names where the whole table has one."""
        return tuple(dict.fromkeys(cell.dataset for cell in self.values if cell.table == table))

    def rows(self, table: str) -> list[PublishedRow]:
        """Rows of a table in its order."""
        found: dict[tuple[str, str, str], list[PublishedValue]] = {}
        for cell in self.values:
            if cell.table == table:
                found.setdefault((cell.method, cell.multi_crop, cell.setting), []).append(cell)
        return [
            PublishedRow(
                cells[0].row_title,
                {cell.measure: cell.value for cell in cells},
                tuple(dict.fromkeys(cell.note for cell in cells if cell.note)),
            )
            for cells in found.values()
        ]


def load_published(*paths: Path) -> Published:
    """Read printed values.

    Args:
        paths: CSV files that are called as those of ``COLUMNS``; none: both of ``conf/``.

    Returns:
        The values, in the order of the files.

    Raises:
        MissingFileError: A file is absent.
        UserError: Its columns are others, or a value is no number.
    """
    chosen = paths or (CHAPTER_4, CHAPTER_6)
    return Published(tuple(value for path in chosen for value in _read(path, COLUMNS[path.name])))


def _read(path: Path, columns: Sequence[str]) -> list[PublishedValue]:
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; run from the root of the repository")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if list(reader.fieldnames or ()) != list(columns):
            raise UserError(f"{path}: columns {reader.fieldnames}: allowed: {', '.join(columns)}")
        rows = list(reader)
    for line, row in enumerate(rows, start=2):
        for column in _NUMERIC:
            text = row.get(column, "")
            if (text or column == "value") and not _is_number(text):
                raise UserError(f"{path}, line {line}: {column} = {text!r}: allowed: a number")
    return [PublishedValue(**row) for row in rows]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
