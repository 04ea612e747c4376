from pathlib import Path

import pytest

from pipeline_lib.ablation.definitions import load_definitions
from pipeline_lib.ablation.results import Lookup
from pipeline_lib.published import load_published

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def lookup():
    return Lookup(load_published(ROOT / "conf/published.csv"), load_definitions(ROOT / "conf/ablations.yaml"))
