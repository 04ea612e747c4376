"""Features from CUDA against those from the CPU."""

import numpy as np
import pytest
from test_extraction import SPLITS, extract, stored

pytestmark = pytest.mark.cuda


@pytest.mark.usefixtures("exact_convolutions")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("name", ["tiny", "convolutions", "pixels"])
def test_features_are_those_of_the_cpu(tmp_path, name, precision, tolerance):
    extract(tmp_path / "cpu", name, batch_size=5)
    extract(tmp_path / "cuda", name, batch_size=5, device="cuda", precision=precision)
    for split in SPLITS:
        expected, found = stored(tmp_path / "cpu", split), stored(tmp_path / "cuda", split)
        error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert error.max() < (0 if name == "pixels" else tolerance) + 1e-12
        # Images differ by far more, so that a mix-up of rows would show.
        if len(expected) > 1:
            assert np.linalg.norm(expected[1] - expected[0]) > 1e-3 * np.linalg.norm(expected[0])
