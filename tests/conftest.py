from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, what takes longest starts first, so that no process is left with it alone at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("pipeline", "slow")])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda"):
        # Slow to import, and most tests need none.
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch finds no CUDA device here")


@pytest.fixture
def exact_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions of float32 in full float32 on CUDA too, where cuDNN takes TF32 by default."""
    import torch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    folder = ROOT.parent / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip("the golden reference values (../shared/golden) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Callable[[str], dict[str, np.ndarray]]:
    """Arrays of one reference file: small ones lie in tests/golden, the others beside the checkout."""

    def load(name: str) -> dict[str, np.ndarray]:
        small = ROOT / "tests" / "golden" / f"{name}.npz"
        path = small if small.is_file() else request.getfixturevalue("golden_dir") / f"{name}.npz"
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    return load
