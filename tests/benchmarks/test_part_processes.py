"""Parts of a benchmark: one that fails or hangs leaves the others, and what it had measured stays."""

import json
import time

import pytest

from benchmarks.processes import Job, run_jobs

PARTS = {
    "good": "def run(part):\n    part.row('product', seconds=1.23456)\n",
    "failing": "def run(part):\n    part.row('first', seconds=2.0)\n    raise RuntimeError('no memory')\n",
    "hanging": "import time\n\ndef run(part):\n    part.row('first', seconds=3.0)\n    time.sleep(600)\n",
    "dying": "import os\n\ndef run(part):\n    os._exit(7)\n",
    "missing": "import a_module_that_nobody_has\n",
}


@pytest.mark.slow
def test_each_part_is_told_of_and_none_stops_the_others(tmp_path, monkeypatch):
    for name, source in PARTS.items():
        (tmp_path / f"part_{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ["failing", "hanging", "dying", "missing", "good"]
    jobs = [
        Job(name, f"part_{name}", "cpu", True, str(tmp_path / f"{name}-files"), str(tmp_path / f"{name}.lines"))
        for name in names
    ]

    def deadline(number, _):
        return time.time() + (8 if names[number] == "hanging" else 300)

    out = tmp_path / "figures" / "all.json"
    found = run_jobs(jobs, deadline, {"commit": "abc"}, out, shared=False)
    assert json.loads(out.read_text()) == found
    errors = {name: part["error"] for name, part in found["parts"].items()}
    assert errors["good"] is None
    assert errors["failing"] == "RuntimeError: no memory"
    assert errors["hanging"].startswith("stopped after")
    assert errors["dying"] == "the process ended with code 7"
    assert "a_module_that_nobody_has" in errors["missing"]
    kept = {name: part["rows"] for name, part in found["parts"].items()}
    assert kept["good"] == [{"what": "product", "seconds": 1.235}]
    assert kept["failing"] == [{"what": "first", "seconds": 2.0}]
    assert kept["hanging"] == [{"what": "first", "seconds": 3.0}]
    assert found["machine"]["torch"]
    assert not list(tmp_path.glob("*-files"))
