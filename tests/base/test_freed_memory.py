import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from pipeline_lib.base.freed_memory import keep_freed_memory
torch.set_num_threads(1)
kept = keep_freed_memory() if sys.argv[1] == "kept" else None
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(1 << 24).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# The first ones find the heap too small, or its free part at an unfit address.
print(kept, [faults() for _ in range(12)][-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_large_tensors_get_memory_that_was_freed_before(repository):
    found = {}
    for name in ("as it is", "kept"):
        command = [sys.executable, "-c", SCRIPT, name]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        was_set, faults = done.stdout.split()
        found[name] = int(faults)
    if was_set == "False":
        pytest.skip("no glibc")
    # 64 MiB are 16,384 pages, or 32 huge ones.
    assert found["as it is"] >= 32
    assert found["kept"] < found["as it is"] / 4
