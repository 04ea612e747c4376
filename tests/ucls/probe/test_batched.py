import numpy as np
import pytest
import torch

from pipeline_lib.ucls.probe.batched import BatchedClassifiers
from pipeline_lib.ucls.probe.grid import cosine_factor

D, C, B, STEPS = 6, 4, 16, 60
RATES = (0.01, 0.3, 2.0)


@pytest.fixture(autouse=True)
def one_thread():
    # Tensors this small gain nothing from threads, which stall where the cores are busy.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(rates=RATES, precision="float32"):
    return BatchedClassifiers(D, C, rates, torch.Generator().manual_seed(0), torch.device("cpu"), precision)


def data(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(STEPS, B, D, generator=generator)
    y = torch.randint(C, (STEPS, B), generator=generator)
    weights = torch.rand(STEPS, B, generator=generator) * 2
    return x, y, weights


def torch_sgd(own, rates, x, y, weights):
    """Autograd and torch.optim.SGD in float64, one parameter group and one scheduler step for each classifier."""
    layers = []
    for index in range(len(rates)):
        weight, bias = own.parameters_of(index)
        layer = torch.nn.Linear(D, C, dtype=torch.float64)
        layer.load_state_dict({"weight": weight.double(), "bias": bias.double()})
        layers.append(layer)
    groups = [{"params": layer.parameters(), "lr": rate} for layer, rate in zip(layers, rates, strict=True)]
    optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(x), eta_min=0)
    for step in range(len(x)):
        each = [torch.nn.functional.cross_entropy(m(x[step].double()), y[step], reduction="none") for m in layers]
        loss = sum(one.mean() if weights is None else (one * weights[step].double()).mean() for one in each)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scheduler.step()
    return layers


@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_that_of_torch_sgd_with_parameter_groups(weighted):
    x, y, weights = data()
    weights = weights if weighted else None
    own = make()
    layers = torch_sgd(own, RATES, x, y, weights)
    for step in range(STEPS):
        own.step(x[step], y[step], None if weights is None else weights[step], cosine_factor(step, STEPS))
    for index, layer in enumerate(layers):
        weight, bias = own.parameters_of(index)
        torch.testing.assert_close(weight.double(), layer.weight.detach(), rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(bias.double(), layer.bias.detach(), rtol=1e-4, atol=2e-5)


def test_initial_values_are_dinov2s():
    own = BatchedClassifiers(500, 20, (1.0,) * 5, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert own.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(own.weight.mean().item()) < 2e-4
    assert own.bias.abs().max() == 0


def test_classifiers_do_not_depend_on_their_neighbours():
    x, y, _ = data()
    together = make((0.1, 0.5))
    alone = make((0.5,))
    alone.weight.copy_(together.weight[:, C:])
    for step in range(STEPS):
        together.step(x[step], y[step], None, 1.0)
        alone.step(x[step], y[step], None, 1.0)
    torch.testing.assert_close(together.parameters_of(1)[0], alone.parameters_of(0)[0], rtol=1e-5, atol=1e-6)


def test_a_diverging_classifier_leaves_the_others_alone():
    x, y, _ = data()
    healthy, mixed = make((0.1, 0.2, 0.3)), make((0.1, 1e38, 0.3))
    for step in range(STEPS):
        healthy.step(x[step] * 50, y[step], None, 1.0)
        mixed.step(x[step] * 50, y[step], None, 1.0)
    assert not torch.isfinite(mixed.parameters_of(1)[0]).all()
    assert mixed.silence_diverged() == [False, True, False]
    assert mixed.parameters_of(1)[0].abs().max() == 0
    assert mixed.logits(x[0]).isfinite().all()
    for index in (0, 2):
        assert torch.equal(mixed.parameters_of(index)[0], healthy.parameters_of(index)[0])
        assert torch.equal(mixed.parameters_of(index)[1], healthy.parameters_of(index)[1])


def test_large_logits_do_not_overflow():
    own = make((0.1,))
    own.step(torch.full((B, D), 1e6), torch.zeros(B, dtype=torch.int64), None, 1.0)
    own.step(torch.full((B, D), 1e6), torch.ones(B, dtype=torch.int64), None, 1.0)
    assert own.silence_diverged() == [False]


def test_bfloat16_stays_near_float32():
    x, y, _ = data()
    exact, half = make((0.05,)), make((0.05,), "bfloat16")
    for step in range(STEPS):
        exact.step(x[step], y[step], None, 1.0)
        half.step(x[step], y[step], None, 1.0)
    assert half.weight.dtype == torch.float32
    difference = (exact.weight - half.weight).norm() / exact.weight.norm()
    assert 0 < difference < 0.02


def test_renaming_classes_renames_the_columns():
    x, y, _ = data()
    order = torch.tensor([2, 0, 3, 1])
    plain, renamed = make((0.2,)), make((0.2,))
    renamed.weight[:, order] = plain.weight.clone()
    for step in range(STEPS):
        plain.step(x[step], y[step], None, 1.0)
        renamed.step(x[step], order[y[step]], None, 1.0)
    np.testing.assert_allclose(renamed.weight[:, order].numpy(), plain.weight.numpy(), rtol=1e-4, atol=1e-6)
