"""Images in Parquet files, as Hugging Face and others write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.records import Record, Source, evaluation_splits, split_of

_BATCH_ROWS = 256
_LABEL_COLUMNS = ("label", "label_name", "split")
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|test|val)")


@dataclass(frozen=True)
class _Classes:
    """How labels and names go together: ``names`` by label, and whether labels are numbers of sorted names."""

    names: tuple[str, ...] | None
    from_names: bool


def open_parquet(root: Path) -> Source:
    """Open all ``*.parquet`` below a folder, in the order of their paths.

    Columns: ``image`` (encoded bytes, or a struct with ``bytes``); ``label`` (integer; null or negative: unknown),
    ``label_name`` and ``split`` are optional. Without ``label``, labels are the numbers of the sorted names; without
    ``label_name``, names are those that Hugging Face keeps in the file's metadata. Without ``split``, a word beginning
    with train, val or test in the file's name decides, else it is ``train``. A test split is read as ``val`` unless
    there is a ``val`` too. Records come in the files' order.

    Args:
        root: Folder with the files.

    Returns:
        A source of bytes.

    Raises:
        MissingFileError: There is no such folder, or no Parquet file in it.
        UserError: A file or column is not as expected.
    """
    files = sorted(path for path in root.rglob("*.parquet") if not path.name.startswith("."))
    if not files:
        raise MissingFileError(f"{root}: no *.parquet file there; put the data set's files into this folder")
    for path in files:
        check_columns(path)
    found, classes = _survey(files)
    target = evaluation_splits(found, str(root))

    def records() -> Iterator[Record]:
        for path in files:
            yield from _records(path, root, target, classes)

    counts = {split: 0 for split in ("train", "val", "test") if split in target.values()}
    for split, count in found.items():
        counts[target[split]] += count
    return Source(records, counts, classes.names)


def check_columns(path: Path) -> None:
    """Refuse a file that is no Parquet file or has no column ``image`` of encoded images.

    Raises:
        UserError: It is not as ``open_parquet`` wants it.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({' '.join(str(error).split())})") from error
    if "image" not in schema.names:
        raise UserError(f"{path}: expected a column image, found {', '.join(schema.names)}")
    kind = schema.field("image").type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise UserError(f"{path}: expected column image to be binary or a struct with bytes, found {kind}")
    if "label" in schema.names and not pa.types.is_integer(schema.field("label").type):
        raise UserError(f"{path}: expected column label to be integer, found {schema.field('label').type}")


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        present = [name for name in columns if name in file.schema_arrow.names]
        if not present:
            yield from ({} for _ in range(file.metadata.num_rows))
            return
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=present):
            for row in range(batch.num_rows):
                yield {name: batch.column(name)[row].as_py() for name in present}


def _survey(files: list[Path]) -> tuple[dict[str, int], _Classes]:
    """Images of each split of the origin, and the classes; image columns are not read."""
    counts: dict[str, int] = {}
    names: dict[int, str] = {}
    unnumbered: set[str] = set()
    for path in files:
        names |= dict(enumerate(_hugging_face_names(path)))
        for row in _rows(path, list(_LABEL_COLUMNS)):
            split = _split(row, path)
            counts[split] = counts.get(split, 0) + 1
            label, name = _known(row.get("label")), row.get("label_name")
            if label is None:
                unnumbered |= set() if name is None else {name}
            elif names.setdefault(label, name or str(label)) != (name or names[label]):
                raise UserError(f"{path}: expected one name a label, found {names[label]!r} and {name!r} for {label}")
    if not names:
        return counts, _Classes(tuple(sorted(unnumbered)) or None, from_names=True)
    return counts, _Classes(tuple(names.get(label, str(label)) for label in range(max(names) + 1)), from_names=False)


def _records(path: Path, root: Path, target: dict[str, str], classes: _Classes) -> Iterator[Record]:
    numbers = {name: label for label, name in enumerate(classes.names or ())}
    for number, row in enumerate(_rows(path, ["image", *_LABEL_COLUMNS])):
        image = row["image"]["bytes"] if isinstance(row["image"], dict) else row["image"]
        label = numbers.get(row.get("label_name") or "") if classes.from_names else _known(row.get("label"))
        name = None if label is None or classes.names is None else classes.names[label]
        origin = f"{path.relative_to(root).as_posix()} row {number}"
        # A null image becomes an undecodable one, so that it is counted and named like any other.
        yield Record(target[_split(row, path)], image or b"", None, label, name, origin)


def _known(label: int | None) -> int | None:
    return None if label is None or label < 0 else label


def _split(row: dict[str, Any], path: Path) -> str:
    if "split" in row:
        split = split_of(row["split"] or "")
        if split is None:
            raise UserError(f"{path}: column split: got {row['split']!r}, allowed are train, val, validation, test")
        return split
    words = set(_SPLIT_IN_NAME.findall(path.stem.lower()))
    if len(words) > 1:
        raise UserError(f"{path}: the name speaks of {' and '.join(sorted(words))}; rename it or add a column split")
    return words.pop() if words else "train"


def _hugging_face_names(path: Path) -> list[str]:
    metadata = pq.read_schema(path).metadata or {}
    described = json.loads(metadata.get(b"huggingface", b"{}"))
    names = described.get("info", {}).get("features", {}).get("label", {}).get("names", [])
    return [str(name) for name in names]
