import numpy as np
import pytest
import torch

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.bounds import turtle_choice
from pipeline_lib.ucls.bounds.settings import TurtleSettings
from pipeline_lib.ucls.bounds.turtle import train_turtle
from pipeline_lib.ucls.bounds.turtle_choice import choose_turtle, generalisation_score, variants

SETTINGS = {
    "steps": 40,
    "inner_steps": 5,
    "batch_size": 100,
    "learning_rate": 0.02,
    "inner_learning_rate": 0.02,
    "entropy_weight": 10.0,
    "warm_start": "auto",
    "scaling": "auto",
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_auto_stands_for_every_combination_and_a_fixed_value_for_itself():
    every = variants(TurtleSettings(**SETTINGS))
    assert {(one.scaling, one.warm_start) for one in every.values()} == {
        ("none", False),
        ("none", True),
        ("standardise", False),
        ("standardise", True),
    }
    (only,) = variants(TurtleSettings(**(SETTINGS | {"warm_start": True, "scaling": "none"}))).values()
    assert (only.scaling, only.warm_start, only.steps) == ("none", True, 40)


def test_a_labelling_by_a_linear_rule_scores_high_and_a_random_one_as_chance():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 5)).astype(np.float32)
    rule = (features[:, 0] > 0).astype(np.int32) + 2 * (features[:, 1] > 0).astype(np.int32)
    assert generalisation_score(features, rule, 0) > 0.9
    assert generalisation_score(features, rng.integers(4, size=400).astype(np.int32), 0) < 0.35


def test_clusters_too_small_for_the_folds_count_as_errors():
    features = np.repeat(np.eye(3, dtype=np.float32), (48, 48, 4), axis=0)
    labels = np.repeat(np.arange(3), (48, 48, 4)).astype(np.int32)
    assert generalisation_score(features, labels, 0) == pytest.approx(0.96)
    assert generalisation_score(features, np.zeros(100, dtype=np.int32), 0) == 0.0


def test_the_variant_with_the_highest_score_is_kept_and_all_scores_are_told(blobs, monkeypatch):
    train, _ = blobs(150, 3)
    wanted = "none, warm start"
    order = iter(variants(TurtleSettings(**SETTINGS)))
    monkeypatch.setattr(turtle_choice, "generalisation_score", lambda *_: 0.9 if next(order) == wanted else 0.8)
    chosen = choose_turtle(train, 3, TurtleSettings(**SETTINGS), seed=2, device=CPU)
    assert chosen.scores == {name: 0.9 if name == wanted else 0.8 for name in variants(TurtleSettings(**SETTINGS))}
    assert (chosen.settings.scaling, chosen.settings.warm_start) == ("none", True)
    alone = train_turtle(train, 3, chosen.settings, seed=2)
    np.testing.assert_array_equal(chosen.fit.predict(train), alone.predict(train))


def test_one_training_refuses_what_is_left_open(blobs):
    with pytest.raises(UserError, match="auto"):
        train_turtle(blobs(30, 3)[0], 3, TurtleSettings(**SETTINGS), seed=0)
