"""Reading the figures that the thesis prints, transcribed as CSV (``conf/published*.csv``)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError, UserError


def read_figures(path: Path, columns: Sequence[str], numeric: Sequence[str]) -> list[dict[str, str]]:
    """Read one figure a line, each value as it is printed.

    Args:
        path: The CSV file.
        columns: Its columns, in their order.
        numeric: Columns that hold a number or nothing; the first of them always holds one.

    Returns:
        Text by column, in the order of the file.

    Raises:
        MissingFileError: The file is absent.
        UserError: The columns are others, or a value is no number.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: not found; run from the root of the repository")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if list(reader.fieldnames or ()) != list(columns):
            raise UserError(f"{path}: columns {reader.fieldnames}: allowed: {', '.join(columns)}")
        rows = list(reader)
    for line, row in enumerate(rows, start=2):
        for column in numeric:
            if (row[column] or column == numeric[0]) and not _is_number(row[column]):
                raise UserError(f"{path}, line {line}: {column} = {row[column]!r}: allowed: a number")
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
