import numpy as np
import pytest
import torch

from pipeline_lib.base import row_blocks
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.bounds.settings import TurtleSettings
from pipeline_lib.ucls.bounds.turtle import InnerClassifier, train_turtle, turtle_objective
from pipeline_lib.ucls.evaluation.metrics import clustering_metrics

SETTINGS = {
    "steps": 300,
    "inner_steps": 10,
    "batch_size": 10_000,
    # Sixteen columns learn slower than the thousand of a backbone would at the paper's 0.001.
    "learning_rate": 0.02,
    "inner_learning_rate": 0.02,
    "entropy_weight": 10.0,
    "warm_start": False,
    "scaling": "none",
}


def settings(**changes):
    return TurtleSettings(**(SETTINGS | changes))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("scaling", ["none", "standardise"])
def test_separated_groups_are_found_whatever_their_numbers(blobs, warm_start, scaling):
    train, labels = blobs(200, 4)
    fit = train_turtle(train, 4, settings(warm_start=warm_start, scaling=scaling), seed=1)
    assert clustering_metrics(labels, fit.predict(train)).acc > 0.98


@pytest.mark.slow
def test_groups_are_found_from_batches_in_images_that_were_not_trained_on(blobs, as_features):
    both, labels = blobs(600, 4)
    train, held_out = as_features(both.array[:400]), as_features(both.array[400:])
    fit = train_turtle(train, 4, settings(batch_size=100), seed=1)
    assert train.largest == 400
    assert clustering_metrics(labels[400:], fit.predict(held_out)).acc > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("warm_start", [False, True])
def test_the_entropy_term_keeps_all_classes_and_without_it_one_takes_all(as_features, warm_start):
    # One cloud away from the origin, as a backbone's features are.
    cloud = as_features(1 + np.random.default_rng(0).standard_normal((100, 16)))
    sizes = []
    for weight in (10.0, 0.0):
        chosen = settings(entropy_weight=weight, warm_start=warm_start, scaling="none")
        sizes.append(np.bincount(train_turtle(cloud, 4, chosen, seed=0).predict(cloud), minlength=4))
    assert sizes[0].min() >= 15
    assert sorted(sizes[1]) == [0, 0, 0, 100]


def naive_objective(weight, bias, features, inner_log_probability, entropy_weight):
    """Cross-entropy minus weighted entropy in float64, image by image."""
    probability = []
    for x in features:
        logits = weight @ x + bias
        exponential = np.exp(logits - logits.max())
        probability.append(exponential / exponential.sum())
    cross_entropy = np.mean([-(p @ q) for p, q in zip(probability, inner_log_probability, strict=True)])
    mean = np.mean(probability, axis=0)
    return cross_entropy + entropy_weight * (mean * np.log(mean)).sum()


def test_the_objective_and_its_gradient_are_those_of_a_naive_version():
    rng = np.random.default_rng(0)
    features, weight, bias = rng.standard_normal((7, 5)), rng.standard_normal((3, 5)), rng.standard_normal(3)
    inner = np.log(rng.dirichlet(np.ones(3), size=7))
    leaf = torch.tensor(weight, requires_grad=True)
    probability = (torch.tensor(features) @ leaf.t() + torch.tensor(bias)).softmax(dim=1)
    objective = turtle_objective(probability, torch.tensor(inner), 10.0)
    objective.backward()
    assert objective.item() == pytest.approx(naive_objective(weight, bias, features, inner, 10.0), rel=1e-12)
    step = 1e-6
    for index in np.ndindex(*weight.shape):
        moved = [weight.copy(), weight.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (naive_objective(w, bias, features, inner, 10.0) for w in moved)
        assert leaf.grad[index].item() == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-8)


def test_the_inner_gradient_is_that_of_autograd_and_training_is_adams():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(9, 5, generator=rng)
    labels = torch.rand(9, 3, generator=rng).softmax(dim=1)
    inner = InnerClassifier(5, 3, 0.01, torch.Generator().manual_seed(1), torch.device("cpu"))
    weight, bias = (t.clone().double().requires_grad_() for t in (inner.weight, inner.bias))
    optimizer = torch.optim.Adam([weight, bias], lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        logits = features.double() @ weight.t() + bias
        torch.nn.functional.cross_entropy(logits, labels.double()).backward()
        for own, wanted in zip(inner.gradient(features, labels.t()), (weight, bias), strict=True):
            torch.testing.assert_close(own.double(), wanted.grad, rtol=1e-4, atol=1e-6)
        inner.train(features, labels, 1)
        optimizer.step()
        torch.testing.assert_close(inner.weight.double(), weight.detach(), rtol=1e-4, atol=1e-5)


def test_a_cold_start_forgets_the_classifier_and_a_warm_one_does_not(blobs):
    train, _ = blobs(200, 4)
    # A classifier that goes on learning fits labels that hardly move far better than one that has ten small steps.
    slow = {"learning_rate": 1e-6, "inner_learning_rate": 1e-4, "steps": 60}
    cold, warm = (train_turtle(train, 4, settings(warm_start=w, **slow), seed=0).objective for w in (False, True))
    assert cold[0] == warm[0]
    assert warm[-1] < cold[-1] - 0.1


def test_repeats_for_a_seed_and_differs_for_another(blobs):
    train, _ = blobs(120, 3)
    first, second, other = (
        train_turtle(train, 3, settings(steps=20, batch_size=50), seed=seed).objective for seed in (4, 4, 5)
    )
    assert first.tobytes() == second.tobytes()
    assert (first != other).any()


@pytest.mark.slow
def test_columns_that_do_not_vary_change_no_label(blobs, as_features):
    train, labels = blobs(200, 4)
    wider = as_features(np.concatenate([train.array, np.full((200, 2), 7.3)], axis=1))
    found = train_turtle(wider, 4, settings(), seed=1)
    assert np.isfinite(found.objective).all()
    assert clustering_metrics(labels, found.predict(wider)).acc > 0.98


def test_features_that_do_not_fit_are_read_batch_by_batch(blobs, monkeypatch):
    monkeypatch.setattr(row_blocks, "_BLOCK_ELEMENTS", 16 * 32)
    train, _ = blobs(300, 3)
    held = train_turtle(train, 3, settings(steps=10, batch_size=40), seed=0)
    train.largest = 0
    read = train_turtle(train, 3, settings(steps=10, batch_size=40), seed=0, memory_budget=0)
    read.predict(train)
    assert train.largest == 40
    assert read.objective.tobytes() == held.objective.tobytes()


@pytest.mark.parametrize(
    ("classes", "changes", "message"),
    [
        (13, {}, r"classes = 13: .* 12"),
        (1, {}, "classes = 1"),
        (3, {"steps": 0}, "steps = 0"),
    ],
)
def test_impossible_fits_are_refused_in_one_line(blobs, classes, changes, message):
    with pytest.raises(UserError, match=message) as error:
        train_turtle(blobs(12, 3)[0], classes, settings(**changes), seed=0)
    assert "\n" not in str(error.value)


def test_features_that_are_not_finite_are_refused(as_features):
    with pytest.raises(UserError, match="NaN"):
        train_turtle(as_features(np.full((12, 3), np.nan)), 2, settings(), seed=0)
