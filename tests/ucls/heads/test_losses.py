import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_lib.ucls.heads import losses


def double(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array)).double()


def temi_both_ways(
    g: dict[str, np.ndarray], call: int, prior: Tensor, teacher_temperature: float, beta: float, weighted: bool
) -> tuple[dict[str, Tensor], Tensor]:
    student = {view: double(g[f"in_student_{view}"][call]).requires_grad_() for view in ("x", "nn")}
    log_student = {view: (logits / 0.1).log_softmax(-1) for view, logits in student.items()}
    log_teacher = {
        view: (double(g[f"in_teacher_{view}"][call]) / teacher_temperature).log_softmax(-1) for view in ("x", "nn")
    }
    prior = losses.updated_prior(prior, torch.cat([log_teacher["x"], log_teacher["nn"]], dim=1), 0.9)
    weight = losses.instance_weights(log_teacher["x"], log_teacher["nn"]) if weighted else None
    forward = losses.temi_loss(log_student["x"], log_teacher["nn"], prior, weight, beta)
    backward = losses.temi_loss(log_student["nn"], log_teacher["x"], prior, weight, beta)
    head_loss = (forward + backward) / 2
    head_loss.mean().backward()
    result = {
        "head_loss": head_loss,
        "loss": head_loss.mean(),
        "oneway_fwd": forward,
        "oneway_bwd": backward,
        "grad_x": student["x"].grad,
        "grad_nn": student["nn"].grad,
    }
    return {name: value.detach() for name, value in result.items()}, prior


@pytest.mark.parametrize("size", ["tiny", "medium"])
@pytest.mark.parametrize(
    ("variant", "beta", "temperature", "weighted", "start"),
    [
        ("b060_w", 0.6, 0.1, True, "uniform"),
        ("b060_now", 0.6, 0.1, False, "uniform"),
        ("b055_w", 0.55, 0.1, True, "uniform"),
        ("b100_now", 1.0, 0.1, False, "uniform"),
        ("tt005_b060_w", 0.6, 0.05, True, "uniform"),
        ("prand_b060_w", 0.6, 0.1, True, "random"),
    ],
)
def test_temi_equals_the_reference(golden, size, variant, beta, temperature, weighted, start):
    g = golden(f"01_temi_{size}")
    prior = double(g[f"in_prior_{start}"])
    for call in range(2):
        result, prior = temi_both_ways(g, call, prior, temperature, beta, weighted)
        for name, value in result.items():
            np.testing.assert_allclose(value, g[f"{variant}__{name}"][call], atol=1e-9, err_msg=name)


def test_prior_from_neighbours_only_is_equation_5_4_as_printed(golden):
    g = golden("01_temi_tiny")
    prior = double(g["in_prior_uniform"])
    for call in range(2):
        log_teacher = (double(g["in_teacher_nn"][call]) / 0.1).log_softmax(-1)
        prior = losses.updated_prior(prior, log_teacher, 0.9)
        np.testing.assert_allclose(prior, g["thesis__prior_nn_only"][call], atol=1e-9)


def test_temi_stays_finite_in_float32_where_the_product_underflows(golden):
    g = golden("01_temi_edge_underflow")
    student = torch.from_numpy(g["in_student_x"][0]).requires_grad_()
    other = torch.from_numpy(g["in_student_nn"][0]).requires_grad_()
    log_x, log_nn = (
        torch.from_numpy(g[f"in_teacher_{view}"][0] / np.float32(0.1)).log_softmax(-1) for view in ("x", "nn")
    )
    prior = losses.updated_prior(torch.from_numpy(g["in_prior_uniform"]), torch.cat([log_x, log_nn], 1), 0.9)
    weight = losses.instance_weights(log_x, log_nn)
    forward = losses.temi_loss((student / 0.1).log_softmax(-1), log_nn, prior, weight, float(g["in_beta"]))
    backward = losses.temi_loss((other / 0.1).log_softmax(-1), log_x, prior, weight, float(g["in_beta"]))
    head_loss = (forward + backward) / 2
    head_loss.mean().backward()
    assert not np.isfinite(g["f32peer__head_loss"]).all()
    np.testing.assert_allclose(head_loss.detach(), g["f64__head_loss"][0], atol=1e-4)
    np.testing.assert_allclose(student.grad, g["f64__grad_x"][0], atol=1e-4)
    np.testing.assert_allclose(other.grad, g["f64__grad_nn"][0], atol=1e-4)


@pytest.mark.parametrize(("size", "m"), [("tiny", 1), ("tiny", 3), ("medium", 1), ("medium", 5)])
@pytest.mark.parametrize("beta", [0.6, 0.55])
def test_cross_entropy_and_smoothing_equal_the_thesis_formulas(golden, size, m, beta):
    g = golden(f"05_thesis_temi_ce_{size}")
    student = double(g["in_student_x"]).requires_grad_()
    log_student = (student / 0.1).log_softmax(-1)
    log_x = (double(g["in_teacher_x"]) / float(g["in_teacher_temp"])).log_softmax(-1)
    each = (double(g["in_teacher_neighbors"])[:, :, :m] / float(g["in_teacher_temp"])).log_softmax(-1)
    log_nn = losses.smoothed_neighbors(each)
    np.testing.assert_allclose(log_nn.exp(), g[f"m{m}__q_mean"], atol=1e-9)
    prior = losses.updated_prior(double(g["in_prior"]), log_nn, 0.9)
    np.testing.assert_allclose(prior, g[f"m{m}__prior_after"], atol=1e-9)
    weight = losses.instance_weights(log_x, log_nn)
    np.testing.assert_allclose(weight, g[f"m{m}__weight"], atol=1e-9)
    ce = losses.hard_cross_entropy(log_student, log_nn)
    np.testing.assert_allclose(ce.detach(), g[f"m{m}__ce"], atol=1e-9)
    key = f"m{m}_b{round(beta * 100):03d}_priorafter"
    pmi = losses.pointwise_mutual_information(log_student, log_nn, prior, beta)
    np.testing.assert_allclose(pmi.detach(), g[f"{key}__pmi"], atol=1e-9)
    lam = float(g["in_lambda"])
    unweighted = losses.temi_loss(log_student, log_nn, prior, None, beta, lam)
    np.testing.assert_allclose(unweighted.detach(), g[f"{key}__head_loss_unweighted"], atol=1e-9)
    weighted = losses.temi_loss(log_student, log_nn, prior, weight, beta, lam)
    np.testing.assert_allclose(weighted.detach(), g[f"{key}__head_loss_weighted"], atol=1e-9)
    weighted.mean().backward()
    np.testing.assert_allclose(student.grad, g[f"{key}__grad_student_x"], atol=1e-9)


@pytest.mark.parametrize("size", ["tiny", "medium"])
@pytest.mark.parametrize("entropy_weight", [2, 4, 5])
def test_scan_equals_the_reference(golden, size, entropy_weight):
    g = golden(f"02_scan_{size}")
    anchors, neighbors = (double(g[f"in_{name}"]).requires_grad_() for name in ("anchors", "neighbors"))
    loss = losses.scan_loss(anchors.log_softmax(-1)[None], neighbors.log_softmax(-1)[None], entropy_weight)
    loss.sum().backward()
    np.testing.assert_allclose(loss.detach()[0], g[f"w{entropy_weight}__total"], atol=1e-9)
    np.testing.assert_allclose(anchors.grad, g[f"w{entropy_weight}__grad_anchors"], atol=1e-9)
    np.testing.assert_allclose(neighbors.grad, g[f"w{entropy_weight}__grad_neighbors"], atol=1e-9)


def test_scan_caps_a_total_disagreement_as_the_reference(golden):
    g = golden("02_scan_edge_clamp")
    anchors, neighbors = (double(g[f"in_{name}"]).requires_grad_() for name in ("anchors", "neighbors"))
    weight = float(g["in_entropy_weight"])
    loss = losses.scan_loss(anchors.log_softmax(-1)[None], neighbors.log_softmax(-1)[None], weight)
    loss.sum().backward()
    np.testing.assert_allclose(loss.detach()[0], g["f64__total"], atol=1e-9)
    np.testing.assert_allclose(anchors.grad, g["f64__grad_anchors"], atol=1e-9)
    np.testing.assert_allclose(neighbors.grad, g["f64__grad_neighbors"], atol=1e-9)


def test_temi_does_not_depend_on_the_names_of_the_classes():
    generator = torch.Generator().manual_seed(0)
    log_s, log_t = (torch.randn(3, 8, 5, generator=generator, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    prior = torch.rand(3, 5, generator=generator, dtype=torch.float64)
    order = torch.randperm(5, generator=generator)
    plain = losses.temi_loss(log_s, log_t, prior, None, 0.6, 0.5)
    renamed = losses.temi_loss(log_s[..., order], log_t[..., order], prior[..., order], None, 0.6, 0.5)
    torch.testing.assert_close(plain, renamed)
