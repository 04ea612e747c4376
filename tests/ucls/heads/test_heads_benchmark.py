import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_small_run_measures_every_loop(repository, tmp_path):
    sizes = ["--heads", "2", "--columns", "8", "--classes", "5", "--batch", "16", "--threads", "1", "2", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.heads", *sizes, "--out", str(tmp_path / "rows.json")],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    loops = ["UCLS one-way", "UCLS two-way", "TEMI", "reference"]
    assert [(row["threads"], row["loop"]) for row in rows] == [(n, loop) for n in (1, 2) for loop in loops]
    for size in (rows[:4], rows[4:]):
        reference = size[-1]["samples_a_cpu_second"]
        assert reference > 0
        for row in size:
            assert row["ratio"] == pytest.approx(row["samples_a_cpu_second"] / reference)
    assert len(done.stdout.splitlines()) == 2 + len(rows)
