import math

import numpy as np
import pytest
import torch

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.classifier import LinearClassifier, PredictionBlock, predict_in_blocks
from pipeline_lib.ucls.probe.features import FeatureInput
from tests.array_features import ArrayFeatures


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return LinearClassifier(torch.randn(5), torch.rand(5) + 0.5, torch.randn(3, 5), torch.randn(3))


def naive(classifier, x):
    state = {name: value.double().numpy() for name, value in classifier.state_dict().items()}
    logits = ((x - state["mean"]) * state["inverse_scale"]) @ state["weight"].T + state["bias"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_predictions_in_blocks_are_the_naive_ones(classifier, monkeypatch):
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 5 * 7)
    x = np.random.default_rng(0).standard_normal((40, 5))
    expected = naive(classifier, x)
    blocks = list(predict_in_blocks(classifier, ArrayFeatures(x)))
    assert [b.rows.stop - b.rows.start for b in blocks] == [7] * 5 + [5]
    np.testing.assert_allclose(np.concatenate([b.probabilities for b in blocks]), expected, atol=1e-5)
    assert np.concatenate([b.labels for b in blocks]).tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(np.concatenate([b.confidence for b in blocks]), expected.max(axis=1), atol=1e-5)
    entropy = -(expected * np.log(expected)).sum(axis=1)
    np.testing.assert_allclose(np.concatenate([b.entropy for b in blocks]), entropy, atol=1e-5)
    assert (blocks[0].labels.dtype, blocks[0].probabilities.dtype) == (np.int32, np.float32)


def test_predicts_from_some_of_the_columns(classifier):
    x = np.random.default_rng(1).standard_normal((8, 9))
    columns = FeatureInput(("b", "a"), ((6, 9), (0, 2)))
    got = next(predict_in_blocks(classifier, ArrayFeatures(x), columns)).probabilities
    np.testing.assert_allclose(got, naive(classifier, x[:, [6, 7, 8, 0, 1]]), atol=1e-5)


def test_state_makes_the_same_classifier(classifier):
    again = LinearClassifier.from_state(classifier.state_dict())
    x = torch.randn(4, 5)
    assert torch.equal(again.probabilities(x), classifier.probabilities(x))


def test_entropy_of_certain_and_of_even_predictions():
    p = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    block = PredictionBlock(slice(0, 2), np.zeros(2, np.int32), p)
    np.testing.assert_allclose(block.entropy, [0, math.log(4)], rtol=1e-6)


def test_other_shapes_are_refused(classifier):
    with pytest.raises(UserError, match="9 columns"):
        next(predict_in_blocks(classifier, ArrayFeatures(np.zeros((2, 9)))))
    with pytest.raises(UserError, match="bias"):
        LinearClassifier(torch.zeros(5), torch.ones(5), torch.zeros(3, 5), torch.zeros(4))
