"""Writes the dataset artifact image by image, so that no more than a row group a split is in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.artifacts.dataset import COLUMNS, FILE, KIND, SCHEMA, SPLITS, recorded_root
from pipeline_lib.artifacts.folder import new_folder, write_meta

_GROUP_ROWS = 2048
_GROUP_BYTES = 1 << 25


class _SplitWriter:
    """Collects the rows of one split into row groups."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._last_id = -1
        self._writer: Any = pq.ParquetWriter(path, COLUMNS, compression="zstd", use_dictionary=["split", "class_name"])
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; its id is larger than that of the row before."""
        if row["id"] <= self._last_id:
            raise ValueError(f"ids must ascend within a split: {row['id']} after {self._last_id}")
        self._last_id = row["id"]
        self._rows.append(row)
        self._bytes += len(row["image"] or b"") + len(row["path"] or "")
        self.count += 1
        if len(self._rows) == _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is collected as one row group."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=COLUMNS), row_group_size=len(self._rows))
            self._rows = []
            self._bytes = 0

    def append_groups(self, other: Path) -> None:
        """Append the row groups of another split's file."""
        with pq.ParquetFile(other) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                self._writer.write_table(table, row_group_size=table.num_rows)

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


class DatasetWriter:
    """Context manager that writes a dataset artifact; nothing of it is left when the block ends with an error.

    Splits may come mixed: each goes to a file of its own, and those after the first are appended to it at the end.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str] | None,
        root: Path | None,
        made_by: Mapping[str, Any],
    ) -> None:
        """Prepare to write.

        Args:
            folder: Folder of the artifact.
            class_names: Names by label, or None.
            root: Folder that paths are relative to, or None where all images are embedded.
            made_by: Stage, parameters and seed, for ``meta.json``.
        """
        self._folder = folder
        self._fields: dict[str, Any] = {"class_names": None if class_names is None else list(class_names)}
        self._fields["root"] = None if root is None else recorded_root(root)
        self._made_by = made_by
        self._stack = ExitStack()
        self._writers: dict[str, _SplitWriter] = {}

    def __enter__(self) -> DatasetWriter:
        self._temporary = self._stack.enter_context(new_folder(self._folder))
        self._stack.push(self._end)
        return self

    def add(
        self,
        id: int,
        split: str,
        *,
        image: bytes | None = None,
        path: str | None = None,
        label: int | None = None,
        class_name: str | None = None,
    ) -> None:
        """Add one image.

        Args:
            id: Stable id, larger than the ids added to this split before.
            split: ``train``, ``val`` or ``test``.
            image: Encoded bytes, or None.
            path: Path relative to the root, with forward slashes, or None; exactly one of both is given.
            label: Label, or None where unknown.
            class_name: Name of the class, or None where unknown.

        Raises:
            ValueError: The id does not ascend, the split is unknown, not exactly one of image and path is given,
                or there is a path but no root.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if (image is None) == (path is None):
            raise ValueError("exactly one of image and path must be given")
        if path is not None and self._fields["root"] is None:
            raise ValueError(f"a path needs a root folder that it is relative to, got {path!r} without one")
        if split not in self._writers:
            self._writers[split] = _SplitWriter(self._temporary / f"{split}.parquet")
        self._writers[split].add(
            {"id": id, "split": split, "path": path, "image": image, "label": label, "class_name": class_name}
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, traceback)

    def _end(self, *raised: object) -> None:
        try:
            if raised[0] is None:
                self._finish()
        finally:
            for writer in self._writers.values():
                writer.close()

    def _finish(self) -> None:
        writers = [self._writers[split] for split in SPLITS if split in self._writers]
        counts = {split: self._writers[split].count for split in SPLITS if split in self._writers}
        if not writers:
            raise ValueError("a dataset artifact needs at least one image")
        for writer in writers:
            writer.flush()
        for writer in writers[1:]:
            writer.close()
            writers[0].append_groups(writer.path)
            writer.path.unlink()
        writers[0].close()
        writers[0].path.rename(self._temporary / FILE)
        write_meta(self._temporary, KIND, SCHEMA, self._made_by, {"splits": counts, **self._fields})
