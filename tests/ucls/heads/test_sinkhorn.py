import numpy as np
import pytest
import torch

from pipeline_lib.ucls.heads.sinkhorn import sinkhorn_knopp


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


def test_classes_get_the_shares_of_the_prior_in_the_limit():
    logits = torch.randn(2, 300, 4, generator=torch.Generator().manual_seed(2)).double()
    shares = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.4, 0.1]]).double()
    q = sinkhorn_knopp(logits, 0.5, 500, log_class_prior=shares.log()).exp()
    torch.testing.assert_close(q.mean(dim=1), shares, atol=1e-8, rtol=0)
    torch.testing.assert_close(q.sum(dim=-1), torch.ones(2, 300).double())


def test_a_uniform_prior_is_no_prior():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(3)).double()
    prior = torch.full((4,), 0.25).double().log()
    torch.testing.assert_close(sinkhorn_knopp(logits, 0.1, 3, log_class_prior=prior), sinkhorn_knopp(logits, 0.1, 3))


def test_balance_leads_from_the_softmax_to_equal_shares():
    generator = torch.Generator().manual_seed(4)
    logits = (torch.randn(400, 3, generator=generator) + torch.tensor([2.0, 0.0, -1.0])).double()
    torch.testing.assert_close(sinkhorn_knopp(logits, 1.0, 50, balance=0.0), logits.log_softmax(dim=-1))
    largest = [float(sinkhorn_knopp(logits, 1.0, 50, balance=b).exp().mean(dim=0).max()) for b in (0.0, 0.4, 0.8, 1.0)]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > 0.6
    assert abs(largest[-1] - 1 / 3) < 1e-6


def in_the_log_domain(logits, temperature, iterations):
    scores = logits.double() / temperature
    sample_scale = torch.zeros_like(scores[..., :1])
    for _ in range(iterations):
        scaled = scores - (scores + sample_scale).logsumexp(dim=-2, keepdim=True)
        sample_scale = -scaled.logsumexp(dim=-1, keepdim=True)
    return scaled + sample_scale


@pytest.mark.parametrize("shifted", ["samples", "classes"])
def test_scores_far_beyond_the_range_of_float32_keep_their_log_probabilities(shifted):
    generator = torch.Generator().manual_seed(5)
    shape = (2, 40, 1) if shifted == "samples" else (2, 1, 6)
    logits = torch.randn(2, 40, 6, generator=generator) + 15 * torch.randn(shape, generator=generator)
    # Scores spread by some 300, where exp(x) of float32 spans 192.
    assert float((logits / 0.1).max() - (logits / 0.1).min()) > 300
    expected = in_the_log_domain(logits, 0.1, 3)
    torch.testing.assert_close(sinkhorn_knopp(logits, 0.1, 3).double(), expected, atol=2e-3, rtol=0)


def test_a_class_that_no_sample_comes_near_stays_finite():
    logits = torch.zeros(30, 3)
    logits[:, 2] = -500.0
    q = sinkhorn_knopp(logits, 0.07, 3)
    torch.testing.assert_close(q.exp(), torch.full((30, 3), 1 / 3), atol=1e-3, rtol=0)
