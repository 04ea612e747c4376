"""Tables of predictions: CSV or Parquet, in a file that appears complete or not at all, or on standard output."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.classifier import PredictionBlock

COLUMNS = (
    ("path", pa.string()),
    ("cluster", pa.int32()),
    ("probability", pa.float32()),
    ("entropy", pa.float32()),
)
NAME_COLUMN = ("name", pa.string())
FORMATS = (".csv", ".parquet")


class Table(Protocol):
    """What takes predictions."""

    def add(self, paths: Sequence[str], block: PredictionBlock) -> None:
        """Write the predictions of consecutive images, (b,) paths and a block of b rows."""


class _CsvTable:
    def __init__(self, stream: TextIO, names: Mapping[int, str] | None) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._names = names
        self._writer.writerow([name for name, _ in COLUMNS] + ([] if names is None else [NAME_COLUMN[0]]))

    def add(self, paths: Sequence[str], block: PredictionBlock) -> None:
        # str of a float32 is the shortest text that gives the same float32 again.
        columns = [paths, block.labels.tolist(), map(str, block.confidence), map(str, block.entropy)]
        if self._names is not None:
            columns.append([self._names.get(cluster, "") for cluster in block.labels.tolist()])
        self._writer.writerows(zip(*columns, strict=True))


class _ParquetTable:
    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, names: Mapping[int, str] | None) -> None:
        self._writer = writer
        self._schema = schema
        self._names = names

    def add(self, paths: Sequence[str], block: PredictionBlock) -> None:
        columns = [list(paths), block.labels, block.confidence, block.entropy]
        if self._names is not None:
            columns.append([self._names.get(cluster) for cluster in block.labels.tolist()])
        arrays = [pa.array(values, kind) for values, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=self._schema))


def check_output(path: Path, suffixes: Sequence[str], model: Path) -> None:
    """Refuse an output file before any work is done.

    Args:
        path: The file.
        suffixes: Allowed ends of its name.
        model: Folder of the classifier artifact.

    Raises:
        UserError: The name ends otherwise, is that of a folder, or lies in the artifact's folder.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"--output {path}: allowed are files that end in {', '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"--output {path}: is a folder; name a file")
    if path.absolute().is_relative_to(model.absolute()):
        raise UserError(
            f"--output {path}: lies in the folder of the classifier, which holds nothing else; name another"
        )


@contextmanager
def open_table(path: Path | None, names: Mapping[int, str] | None) -> Iterator[Table]:
    """Open a table for writing; a file takes its name when the block ends without an error.

    Args:
        path: ``.csv`` or ``.parquet``; its folder is created. None writes CSV to standard output.
        names: Names by cluster; None leaves the column ``name`` out.

    Yields:
        The table.
    """
    if path is None:
        yield _CsvTable(sys.stdout, names)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    try:
        if path.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                yield _CsvTable(stream, names)
        else:
            schema = pa.schema([*COLUMNS, *([] if names is None else [NAME_COLUMN])])
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                yield _ParquetTable(writer, schema, names)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
