import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_small_run_prints_a_table_and_writes_the_rows(repository, tmp_path):
    sizes = ["--images", "600", "--heads", "8", "--classes", "6", "--confused", "0", "--hgpa-pin-limit", "10"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.consensus",
            *sizes,
            "--methods",
            "hgpa",
            "mcla",
            "--out",
            tmp_path / "rows.json",
        ],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {row["method"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert "hgpa_pin_limit = 10" in rows["hgpa"]["note"]
    assert rows["mcla"]["accuracy"] > 0.99
    assert rows["mcla"]["CPU s"] > 0
    assert 0.02 < rows["mcla"]["peak GB"] < 2
    assert rows["upper bound: oracle vote"]["accuracy"] >= rows["mcla"]["accuracy"] - 0.01
    assert done.stdout.startswith("| method | CPU s | wall s | peak GB |")
    assert len(done.stdout.splitlines()) == 6
