import numpy as np
import pytest
import torch

from pipeline_lib.ucls.probe.settings import GridSettings
from pipeline_lib.ucls.probe.upper_bound import upper_bound_linear_probe
from tests.array_features import ArrayFeatures

COLUMNS = {"cls_-2": (0, 4), "cls": (4, 8)}
SETTINGS = GridSettings(rates=(0.05, 0.5), batch_size=32, iterations=150, holdout_fraction=0.2)


def groups(count, seed):
    centres = 4 * np.random.default_rng(0).standard_normal((3, 8))
    rng = np.random.default_rng([seed, 1])
    labels = rng.integers(3, size=count).astype(np.int32)
    return centres[labels] + 0.1 * rng.standard_normal((count, 8)), labels


def upper_bound(train, held_out, **changes):
    """Share of right classes among the held-out images whose class is known."""
    arguments = {"columns": COLUMNS, "settings": SETTINGS, "seed": 0, "device": torch.device("cpu")} | changes
    found = upper_bound_linear_probe(ArrayFeatures(train[0]), train[1], ArrayFeatures(held_out[0]), **arguments)
    known = held_out[1] >= 0
    return (found == held_out[1])[known].mean()


def test_separable_classes_are_all_found():
    assert upper_bound(groups(200, 1), groups(150, 2)) == 1.0


def test_columns_without_class_token_are_one_input():
    assert upper_bound(groups(200, 1), groups(150, 2), columns={"pixels": (0, 8)}) == 1.0


def test_labels_without_relation_to_the_features_give_chance():
    train, held_out = groups(300, 1), groups(600, 2)
    rng = np.random.default_rng(3)
    shuffled = [(features, rng.permutation(labels)) for features, labels in (train, held_out)]
    assert upper_bound(*shuffled) == pytest.approx(1 / 3, abs=0.12)


def test_images_of_unknown_class_are_not_trained_on():
    features, labels = groups(200, 1)
    # Unlabelled images in the places of other classes: taken as any class, they would cost accuracy.
    train = np.concatenate([features, -features]), np.concatenate([labels, np.full_like(labels, -1)])
    assert upper_bound(train, groups(150, 2)) == 1.0
