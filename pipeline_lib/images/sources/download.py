"""Downloads by torchvision, with their failures told in one line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from pipeline_lib.base.errors import MissingFileError

_SECONDS_WITHOUT_ANSWER = 60.0


@contextmanager
def downloading(kind: str, root: Path, files: str) -> Iterator[None]:
    """Turn what goes wrong while torchvision downloads or opens its files into one line.

    Args:
        kind: Name of the data set.
        root: Where its files are expected.
        files: Which files to put there by hand.

    Raises:
        MissingFileError: The files are absent or damaged and could not be downloaded.
    """
    before = socket.getdefaulttimeout()
    # torchvision sets no limit, and a network that drops packets would hang the stage.
    socket.setdefaulttimeout(_SECONDS_WITHOUT_ANSWER)
    try:
        yield
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise MissingFileError(f"{kind}: not found in {root}, download failed ({reason}); put {files} there") from error
    finally:
        socket.setdefaulttimeout(before)
