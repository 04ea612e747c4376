from pathlib import Path

import pytest

from pipeline_lib.experiments.definitions import load_definitions
from pipeline_lib.experiments.published import load_published
from pipeline_lib.experiments.results import Lookup

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def lookup():
    return Lookup(load_published(ROOT / "conf/published.csv"), load_definitions(ROOT / "conf/ablations.yaml"))
