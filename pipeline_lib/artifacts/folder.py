"""What all artifacts share: a folder with arrays and a ``meta.json``, written atomically and checked when opened."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from pipeline_lib.base.errors import MissingFileError, UserError

META = "meta.json"
_RECORDED_PACKAGES = ("torch", "timm", "numpy", "faiss-cpu", "faiss-gpu", "scikit-learn", "pymetis", "pyarrow")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``target`` when the block ends without an error.

    A killed or failed writer leaves the old artifact, or none; never half of one. While one process writes, no other
    can.

    Args:
        target: Folder of the artifact; its parent is created.

    Yields:
        An empty folder beside ``target`` to write into.

    Raises:
        UserError: Another process writes this artifact, or a file that ``meta.json`` describes is gone or cut short.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(target):
        temporary = target.with_name(f".{target.name}.writing")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            if (temporary / META).is_file():
                _check_files(temporary, read_json_object(temporary / META))
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _only_writer(target: Path) -> Iterator[None]:
    """Hold the lock of an artifact; a process that ends in any way lets go of it."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{target}: another process is writing it; wait until it has ended, or end it") from None
    try:
        yield
    finally:
        # Still held: whoever opened the file meanwhile sees that it has no name any more, and takes a new one.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a small file under a temporary name and rename it.

    Args:
        path: The file; its parent is created.
        content: Text (written as UTF-8) or bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON with stable key order (the mapping's own), atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers, for ``meta.json``; absent packages are left out."""
    versions = {}
    for name in _RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def file_digest(path: Path) -> str:
    """Blake2b digest (hex, 128 bit) of a file's bytes, read in blocks."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def write_meta(folder: Path, kind: str, schema: int, made_by: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Describe the files of ``folder`` in its ``meta.json``.

    Args:
        folder: The folder being written; all data files are there already.
        kind: Artifact kind, for example ``"features"``.
        schema: Version of this kind's layout.
        made_by: Stage, parameters and seed that made it.
        fields: What readers of this kind need besides (shapes, names, settings); JSON values.

    Raises:
        MissingFileError: The folder is gone.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: removed while it was being written; run the stage again")
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != META):
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            files[path.relative_to(folder).as_posix()] |= {"shape": list(array.shape), "dtype": str(array.dtype)}
    meta = {"kind": kind, "schema": schema, **fields, "made_by": {**made_by, "packages": package_versions()}}
    write_json(folder / META, {**meta, "files": files})


def read_json_object(path: Path) -> dict[str, Any]:
    """Read what :func:`write_json` wrote.

    Raises:
        UserError: The file holds no JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); run the stage again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}; run the stage again")
    return value


def read_meta(folder: Path, kind: str, schema: int) -> dict[str, Any]:
    """Read and check ``meta.json`` of an artifact.

    Args:
        folder: The artifact's folder.
        kind: Kind that the reader expects.
        schema: Layout version that the reader understands.

    Returns:
        The parsed ``meta.json``.

    Raises:
        MissingFileError: There is no artifact in ``folder``.
        UserError: It is damaged, of another kind or layout version, or one of its files is absent or cut short.
    """
    path = folder / META
    if not path.is_file():
        raise MissingFileError(f"{path}: no {kind} artifact here; run the stage that writes it (dvc repro)")
    meta = read_json_object(path)
    if meta.get("kind") != kind:
        raise UserError(f"{path}: expected an artifact of kind {kind!r}, found {meta.get('kind')!r}")
    if meta.get("schema") != schema:
        raise UserError(f"{path}: expected schema {schema}, found {meta.get('schema')!r}; run the stage again")
    _check_files(folder, meta)
    return meta


def _check_files(folder: Path, meta: Mapping[str, Any]) -> None:
    """Refuse an artifact of which a file is absent or has another size than ``meta`` says."""
    if not isinstance(meta.get("files"), dict):
        raise UserError(f"{folder / META}: expected the key 'files' with an object; run the stage again")
    for name, facts in meta["files"].items():
        size = (folder / name).stat().st_size if (folder / name).is_file() else None
        if size != facts["bytes"]:
            found = "no file" if size is None else f"{size} bytes"
            raise UserError(f"{folder / name}: expected {facts['bytes']} bytes, found {found}; run the stage again")


def read_origin(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` records of the origin of an artifact of any kind: ``stage``, ``settings``, ``packages``, more.

    Raises:
        MissingFileError: There is no artifact in ``folder``.
        UserError: Its ``meta.json`` is damaged.
    """
    path = folder / META
    if not path.is_file():
        raise MissingFileError(f"{path}: no artifact here; run the stage that writes it (dvc repro)")
    made_by = read_json_object(path).get("made_by")
    if not isinstance(made_by, dict):
        raise UserError(f"{path}: expected the key 'made_by' with an object; run the stage again")
    return made_by


def open_array(
    folder: Path, name: str, dtypes: Sequence[str], shape: Sequence[int | None], mmap: bool = True
) -> NDArray[Any]:
    """Open ``name`` of an artifact, memory-mapped and read-only by default.

    Args:
        folder: The artifact's folder.
        name: File name, ``*.npy``.
        dtypes: Allowed dtypes by NumPy name.
        shape: Expected shape; ``None`` for a free axis.
        mmap: Map the file instead of reading it.

    Returns:
        The array.

    Raises:
        MissingFileError: The file is absent.
        UserError: Dtype or shape differ.
    """
    path = folder / name
    if not path.is_file():
        raise MissingFileError(f"{path}: not found")
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if str(array.dtype) not in dtypes or not fits:
        wanted = f"{' or '.join(dtypes)} {tuple('any' if s is None else s for s in shape)}"
        raise UserError(f"{path}: expected {wanted}, found {array.dtype} {array.shape}")
    return array


def repository_root() -> Path:
    """Root of the main workspace: ``$DVC_ROOT`` inside a DVC stage, else the current folder."""
    return Path(os.environ.get("DVC_ROOT", "."))
