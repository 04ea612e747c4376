"""The backward passes that are written out give the gradients that autograd finds for the same formulas."""

import pytest
import torch
from torch.nn import functional

from pipeline_lib.ucls.heads.layers import cosine_logits, two_layers
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier

HEADS, BATCH, COLUMNS, HIDDEN, BOTTLENECK, CLASSES = 3, 11, 7, 6, 5, 4


def random(*shape, seed):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_()


def layer_inputs():
    return [
        random(BATCH, COLUMNS, seed=0).detach(),
        random(COLUMNS, seed=1),
        random(COLUMNS, seed=2),
        random(HEADS, HIDDEN, COLUMNS, seed=3),
        random(HEADS, HIDDEN, seed=4),
        random(HEADS, BOTTLENECK, HIDDEN, seed=5),
        random(HEADS, BOTTLENECK, seed=6),
    ]


def plain_layers(x, scale, shift, hidden_weight, hidden_bias, bottleneck_weight, bottleneck_bias):
    scaled = x if scale is None else x * scale + shift
    hidden = functional.gelu(torch.einsum("bd,hod->hbo", scaled, hidden_weight) + hidden_bias[:, None])
    return torch.einsum("hbo,hpo->hbp", hidden, bottleneck_weight) + bottleneck_bias[:, None]


def plain_logits(codes, prototypes, lengths):
    directions = functional.normalize(prototypes, dim=-1) * lengths[..., None]
    return torch.einsum("hbp,hkp->hbk", functional.normalize(codes, dim=-1), directions)


def assert_equal_with_gradients(ours, plain, inputs):
    expected = plain(*inputs)
    found = ours(*inputs)
    torch.testing.assert_close(found, expected)
    downstream = random(*expected.shape, seed=9).detach()
    wanted = [one for one in inputs if one is not None and one.requires_grad]
    gradients = torch.autograd.grad(found, wanted, downstream)
    for one, own, other in zip(wanted, gradients, torch.autograd.grad(expected, wanted, downstream), strict=True):
        torch.testing.assert_close(own, other)
        # Otherwise autograd copies it.
        assert own.stride() == one.stride()


@pytest.mark.parametrize("affine", [True, False])
def test_two_layers(affine):
    inputs = layer_inputs()
    if not affine:
        inputs[1:3] = [None, None]
    assert_equal_with_gradients(two_layers, plain_layers, inputs)


def test_scale_of_zero_has_its_gradient():
    inputs = layer_inputs()
    with torch.no_grad():
        inputs[1][2] = 0
    assert_equal_with_gradients(two_layers, plain_layers, inputs)


def test_cosine_logits():
    inputs = [
        random(HEADS, BATCH, BOTTLENECK, seed=0),
        random(HEADS, CLASSES, BOTTLENECK, seed=1),
        random(HEADS, CLASSES, seed=2),
    ]
    assert_equal_with_gradients(cosine_logits, plain_logits, inputs)


def test_codes_of_zero_have_finite_gradients():
    codes = torch.zeros(1, 2, 3, requires_grad=True)
    cosine_logits(codes, torch.ones(1, 2, 3), torch.ones(1, 2)).sum().backward()
    assert codes.grad.isfinite().all()


@pytest.mark.parametrize("name", ["none", "standardise", "batch_norm"])
def test_autocast_changes_rounding_only(name):
    shape = HeadShape(COLUMNS, CLASSES, HEADS, 32, 16, input=name)
    classifier = MultiHeadClassifier(shape, torch.Generator().manual_seed(0))
    features = random(BATCH, COLUMNS, seed=0).detach().float()
    gradients = []
    for enabled in (False, True):
        classifier.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = classifier(features)
        assert logits.dtype == torch.float32
        (logits * random(*logits.shape, seed=1).detach().float()).sum().backward()
        gradients.append({key: parameter.grad.clone() for key, parameter in classifier.named_parameters()})
    for key, exact in gradients[0].items():
        assert (gradients[1][key] - exact).norm() < 0.05 * exact.norm(), key
        assert exact.norm() > 0, key
