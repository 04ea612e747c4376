import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_small_run_prints_ratios_and_waiting_shares(repository):
    sizes = ["--global-size", "32", "--batch-size", "8", "--local-crops", "1", "--steps", "2", "--warm-up", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.segins_step", *sizes],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, header, *rows = done.stdout.splitlines()
    assert header.split() == ["method", "crops", "baseline", "SegIns", "ratio", "waiting"]
    assert [tuple(row.split()[:2]) for row in rows] == [
        (method, crops) for crops in ("two", "multi-crop") for method in ("simsiam", "moco")
    ]
    for row in rows:
        fields = row.split()
        assert 0.3 < float(fields[6]) < 3
        assert 0 <= float(fields[7].rstrip("%")) < 100
