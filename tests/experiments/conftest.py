from pathlib import Path

import pytest

from pipeline_lib.experiments.cells import Lookup
from pipeline_lib.experiments.definitions import load_definitions
from pipeline_lib.experiments.published import load_published

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def lookup():
    return Lookup(
        load_published(ROOT / "conf/published.csv", ROOT / "conf/published_segins.csv"),
        load_definitions(ROOT / "conf/experiments.yaml"),
    )
