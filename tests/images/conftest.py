import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _encode(colour: tuple[int, int, int], image_format: str = "PNG", size: tuple[int, int] = (6, 4)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, format=image_format)
    return stream.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return _encode


@pytest.fixture(scope="session")
def broken_jpeg() -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, format="JPEG")
    return stream.getvalue()[:1500]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write image files below a root folder, each of another colour."""

    def write(*names: str, root: str = "images") -> Path:
        for number, name in enumerate(names):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_encode((number, 10, 200)))
        return tmp_path / root

    return write
