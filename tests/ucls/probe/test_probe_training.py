import math

import numpy as np
import pytest
import torch

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe import training
from pipeline_lib.ucls.probe.classifier import predict_in_blocks
from pipeline_lib.ucls.probe.features import FeatureInput
from pipeline_lib.ucls.probe.result import best_of
from pipeline_lib.ucls.probe.settings import GridSettings
from pipeline_lib.ucls.probe.training import train_linear_grid
from tests.array_features import ArrayFeatures

LEFT = FeatureInput(("left",), ((0, 6),))
BOTH = FeatureInput(("right", "left"), ((6, 12), (0, 6)))


def groups(n=300, classes=4, noise=0.3, seed=0):
    centres = 3 * np.random.default_rng(0).standard_normal((classes, 12))
    rng = np.random.default_rng([seed, 1])
    labels = rng.integers(classes, size=n)
    return ArrayFeatures(centres[labels] + noise * rng.standard_normal((n, 12))), labels


def settings(**changes):
    defaults = {"rates": (1e-3, 0.05, 0.5), "batch_size": 32, "iterations": 120, "holdout_fraction": 0.2}
    return GridSettings(**(defaults | changes))


def predict(result, features, columns):
    return np.concatenate([b.labels for b in predict_in_blocks(result.classifier(), features, columns)])


def accuracy(truth, predicted):
    return float((truth == predicted).mean())


@pytest.mark.parametrize("scaling", ["none", "global", "standardise"])
def test_separable_groups_are_learnt_without_error(scaling):
    features, labels = groups(noise=0.1)
    result = train_linear_grid(features, [LEFT, BOTH], labels, 4, settings(scaling=scaling, rates=(0.05, 0.5)))
    assert result.held_out_accuracy[result.chosen] == 1.0
    chosen = result.settings[result.chosen]
    test, truth = groups(seed=1, n=500, noise=0.1)
    assert accuracy(truth, predict(result, test, chosen.input)) == 1.0


def test_noise_stays_at_chance():
    rng = np.random.default_rng(0)
    features = ArrayFeatures(rng.standard_normal((2000, 12)))
    labels = rng.integers(4, size=2000)
    result = train_linear_grid(features, [BOTH], labels, 4, settings(holdout_fraction=0.5))
    # Standard deviation of the accuracy of a guess on 1000 rows: 0.014.
    assert all(abs(value - 0.25) < 0.06 for value in result.held_out_accuracy)


def test_held_out_accuracy_is_that_of_the_returned_classifiers():
    features, labels = groups(noise=4.0)
    grid = settings()
    result = train_linear_grid(features, [LEFT, BOTH], labels, 4, grid)
    held = training.split_rows(labels, grid.holdout_fraction, 0)[1]
    assert result.held_out_rows == len(held) == 60
    assert result.training_rows == 240
    for number, one in enumerate(result.settings):
        rows = one.input.take(torch.from_numpy(features.rows(held)))
        predicted = result.classifier(number)(rows).argmax(dim=1).numpy()
        assert accuracy(labels[held], predicted) == pytest.approx(result.held_out_accuracy[number])
        probability = result.classifier(number).probabilities(rows).double().numpy()
        expected = -np.log(probability[np.arange(60), labels[held]]).mean()
        assert result.held_out_loss[number] == pytest.approx(expected, rel=1e-4)
    assert len(set(result.held_out_accuracy)) > 1


def test_held_out_rows_are_not_trained_on():
    features, labels = groups(noise=2.0)
    grid = settings()
    held = training.split_rows(labels, grid.holdout_fraction, 0)[1]
    changed = labels.copy()
    changed[held] = (labels[held] + 1) % 4
    first, second = (train_linear_grid(features, [LEFT], y, 4, grid) for y in (labels, changed))
    assert torch.equal(first.classifier(0).weight, second.classifier(0).weight)
    assert first.held_out_accuracy != second.held_out_accuracy


def test_repeats_bit_by_bit_and_depends_on_the_seed():
    features, labels = groups()
    first, again, other = (
        train_linear_grid(features, [LEFT, BOTH], labels, 4, settings(), seed=seed) for seed in (1, 1, 2)
    )
    for number in range(6):
        assert torch.equal(first.classifier(number).weight, again.classifier(number).weight)
    assert not torch.equal(first.classifier(0).weight, other.classifier(0).weight)


def test_memory_budget_and_chunks_change_nothing(monkeypatch):
    features, labels = groups()
    held = train_linear_grid(features, [BOTH], labels, 4, settings())
    monkeypatch.setattr(training, "_CHUNK_ELEMENTS", 3 * 32 * 24)
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 12 * 50)
    features.largest = 0
    read = train_linear_grid(features, [BOTH], labels, 4, settings(), memory_budget=0)
    assert features.largest == 3 * 32
    assert torch.equal(held.classifier().weight, read.classifier().weight)


def test_unlabelled_rows_take_no_part():
    features, labels = groups()
    hidden = np.random.default_rng(0).random(300) < 0.3
    spoilt = ArrayFeatures(np.where(hidden[:, None], 1e4, features.array))
    kept = np.where(hidden, -1, labels)
    clean, dirty = (train_linear_grid(f, [LEFT], kept, 4, settings()) for f in (features, spoilt))
    assert torch.equal(clean.classifier(1).weight, dirty.classifier(1).weight)
    assert clean.training_rows + clean.held_out_rows == int((~hidden).sum())


def test_equal_weights_change_nothing_and_zero_weights_remove_rows():
    features, labels = groups(noise=2.0)
    plain = train_linear_grid(features, [LEFT], labels, 4, settings())
    equal = train_linear_grid(features, [LEFT], labels, 4, settings(), sample_weights=np.full(300, 0.25))
    torch.testing.assert_close(equal.classifier(1).weight, plain.classifier(1).weight, rtol=1e-5, atol=1e-7)

    wrong = np.random.default_rng(5).random(300) < 0.4
    noisy = np.where(wrong, (labels + 1) % 4, labels)
    trusted = train_linear_grid(features, [LEFT], noisy, 4, settings(), sample_weights=(~wrong).astype(np.float32))
    other = np.where(wrong, (labels + 2) % 4, labels)
    same = train_linear_grid(features, [LEFT], other, 4, settings(), sample_weights=(~wrong).astype(np.float32))
    assert torch.equal(trusted.classifier(1).weight, same.classifier(1).weight)


def test_diverged_classifiers_are_reported_and_never_chosen():
    features, labels = groups()
    features = ArrayFeatures(features.array * 100)
    result = train_linear_grid(features, [LEFT], labels, 4, settings(rates=(1e38, 1e-3)))
    assert result.diverged == (True, False)
    assert result.held_out_accuracy[0] is result.held_out_loss[0] is None
    assert result.chosen == 1
    assert result.table()[0]["diverged"] is True
    with pytest.raises(UserError, match="diverged"):
        train_linear_grid(features, [LEFT], labels, 4, settings(rates=(1e38,)))


def test_predictions_of_all_are_those_of_each_alone():
    features, labels = groups(noise=2.0)
    labels[::7] = -1
    result = train_linear_grid(features, [LEFT, BOTH], labels, 4, settings(rates=(1e-3, 0.5, 1e38)))
    test, _ = groups(n=200, seed=1, noise=2.0)
    every = result.predictions(test)
    assert (every.shape, every.dtype) == ((6, 200), np.int32)
    chosen = result.settings[result.chosen].input
    assert every[result.chosen].tolist() == predict(result, test, chosen).tolist()
    for number, setting in enumerate(result.settings):
        state = {name: value.double().numpy() for name, value in result.classifier(number).state_dict().items()}
        x = np.concatenate([test.array[:, a:b] for a, b in setting.input.columns], axis=1)
        naive = ((x - state["mean"]) * state["inverse_scale"]) @ state["weight"].T + state["bias"]
        assert every[number].tolist() == naive.argmax(axis=1).tolist()
    assert result.diverged == (False, False, True) * 2
    assert not every[2].any()
    assert len({tuple(row) for row in every.tolist()}) == 5


def test_of_equal_scores_the_lowest_loss_is_best_and_then_the_first():
    assert best_of((None, 0.5, 0.7, 0.7, None), (None, 0.1, 0.9, 0.8, None)) == 3
    assert best_of((None, 0.5, 0.7, 0.7, 0.7), (None, 0.1, 0.9, 0.8, 0.8)) == 3
    assert best_of((0.7, 0.7, 0.7), (math.nan, math.inf, 5.0)) == 2
    assert best_of((0.0, None), (math.nan, None)) == 0
    assert best_of((-2.0, -1.0), (0.0, 1.0)) == 1


def test_of_equally_accurate_rates_an_underfit_one_is_not_chosen():
    features, labels = groups(noise=0.1)
    rates = (1e-3, 0.05, 0.5)
    result = train_linear_grid(features, [BOTH], labels, 4, settings(rates=rates))
    assert result.held_out_accuracy == (1.0, 1.0, 1.0)
    assert result.held_out_loss[0] > 10 * result.held_out_loss[2]
    assert result.chosen == 2


def test_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    features, labels = groups()
    train_linear_grid(features, [LEFT], labels, 4, settings(iterations=2))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("labels", "weights", "word"),
    [
        (np.zeros(299, int), None, "labels"),
        (np.zeros(300), None, "labels"),
        (np.full(300, 4), None, "labels"),
        (np.full(300, -2), None, "labels"),
        (np.full(300, -1), None, "labels"),
        (np.zeros(300, int), np.zeros(300), "sample_weights"),
        (np.zeros(300, int), -np.ones(300), "sample_weights"),
        (np.zeros(300, int), np.ones(3), "sample_weights"),
    ],
)
def test_unusable_labels_and_weights_are_refused_in_one_line(labels, weights, word):
    features, _ = groups()
    with pytest.raises(UserError, match=word) as error:
        train_linear_grid(features, [LEFT], labels, 4, settings(), sample_weights=weights)
    assert "\n" not in str(error.value)
