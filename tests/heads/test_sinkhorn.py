import numpy as np
import pytest
import torch

from pipeline_lib.heads.sinkhorn import sinkhorn_knopp


@pytest.mark.parametrize("size", ["tiny", "medium"])
@pytest.mark.parametrize("temperature", [0.07, 0.10])
@pytest.mark.parametrize("iterations", [1, 3])
def test_equals_the_reference(golden, size, temperature, iterations):
    g = golden(f"03_sinkhorn_{size}")
    logits = torch.from_numpy(g["in_logits"])
    key = f"T{round(temperature * 100):03d}_it{iterations}__q"
    double = sinkhorn_knopp(logits.double(), temperature, iterations).exp()
    np.testing.assert_allclose(double, g[key], atol=1e-9)
    single = sinkhorn_knopp(logits, temperature, iterations).exp()
    np.testing.assert_allclose(single, g[key], atol=1e-6)


@pytest.mark.parametrize("case", ["base", "shift_one", "shift_all"])
def test_finite_and_right_where_the_reference_overflows_float32(golden, case):
    g = golden("03_sinkhorn_edge")
    q = sinkhorn_knopp(torch.from_numpy(g[f"in_logits_{case}"]), float(g["in_temp"])).exp()
    # Logits of up to 17 at T = 0.07 leave float32 about five digits in the exponent.
    np.testing.assert_allclose(q, g[f"{case}__q64"], atol=2e-5)


def test_no_iteration_is_the_softmax(golden):
    g = golden("03_sinkhorn_tiny")
    q = sinkhorn_knopp(torch.from_numpy(g["in_logits"]).double(), 0.07, 0).exp()
    np.testing.assert_allclose(q, g["T007__plain_softmax"], atol=1e-9)


def test_heads_are_independent_and_classes_balanced_in_the_limit():
    logits = torch.randn(4, 60, 6, generator=torch.Generator().manual_seed(1)).double()
    together = sinkhorn_knopp(logits, 0.5, 3)
    for head in range(4):
        torch.testing.assert_close(together[head], sinkhorn_knopp(logits[head], 0.5, 3))
    totals = sinkhorn_knopp(logits, 0.5, 500).exp().sum(dim=1)
    torch.testing.assert_close(totals, torch.full_like(totals, 10.0), atol=1e-8, rtol=0)
