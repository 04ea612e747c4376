"""What stands before the heads (train_heads.input)."""

import numpy as np
import pytest
import torch
from array_features import ArrayFeatures
from head_settings import SETTINGS
from torch import nn

from pipeline_lib.base import runtime
from pipeline_lib.ucls.heads.feature_rows import FeatureRows
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier
from pipeline_lib.ucls.heads.normalisation import FeatureBatchNorm, Standardisation
from pipeline_lib.ucls.heads.pairs import PairSampler
from pipeline_lib.ucls.heads.settings import HeadSettings
from pipeline_lib.ucls.heads.training import HeadTrainer


def features(columns=6, constant=(), rows=64):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(rows, columns)) * np.arange(1, columns + 1) + 10
    values[:, list(constant)] = 0.1
    return values.astype(np.float32)


def trainer(values, **changes):
    settings = HeadSettings(**(SETTINGS | {"iterations": 8, "batch_size": 16, "neighbors_per_image": 1} | changes))
    fabric = runtime.start("cpu", "float32", 0)
    shape = HeadShape.of(settings, values.shape[1], len(values), 4)
    sampler = PairSampler(len(values), 16, 1, lambda rows, _: (rows[:, None] + 1) % len(values), 0)
    return HeadTrainer(fabric, settings, shape, sampler, FeatureRows(ArrayFeatures(values), fabric.device, 1 << 20))


def test_none_passes_the_features_unchanged():
    classifier = MultiHeadClassifier(HeadShape(7, 4, 3, 6, 5, input="none"), torch.Generator().manual_seed(0))
    assert isinstance(classifier.normalisation, nn.Identity)
    assert not list(classifier.buffers())


def test_constant_columns_stay_finite_under_batch_norm():
    norm = FeatureBatchNorm(3)
    x = torch.zeros(8, 3)
    x[:, 1] = torch.arange(8.0)
    assert norm(x).isfinite().all()
    assert norm.eval()(x).isfinite().all()


def test_standardised_columns_have_mean_0_and_variance_1_over_the_training_images():
    values = features(constant=[2])
    seen = trainer(values, input="standardise").plain_student.normalisation(torch.from_numpy(values)).numpy()
    varying = [0, 1, 3, 4, 5]
    # As TEMI: minus the mean, divided by the unbiased standard deviation.
    given = values[:, varying].astype(np.float64)
    np.testing.assert_allclose(seen[:, varying], (given - given.mean(axis=0)) / given.std(axis=0, ddof=1), atol=1e-5)
    assert (seen[:, 2] == 0).all()


def test_a_column_that_was_constant_in_training_does_not_blow_up_a_new_image():
    student = trainer(features(constant=[2]), input="standardise").plain_student
    new = torch.from_numpy(features(rows=3))
    assert (student.normalisation(new)[:, 2] == 0).all()


def test_principal_components_of_nothing_stay_nothing():
    # Three of six columns are copies: two of five components hold rounding only.
    values = features(3)
    values = np.concatenate([values, values], axis=1)
    student = trainer(values, input="standardise", components=5).plain_student
    seen = student.normalisation(student.reduction(torch.from_numpy(values)))
    torch.testing.assert_close(seen.var(dim=0), torch.tensor([1.0, 1, 1, 0, 0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["none", "standardise", "batch_norm"])
def test_training_goes_through_constant_columns(name):
    trained = trainer(features(constant=[0, 3]), input=name).run()
    assert np.isfinite([row["loss"] for row in trained.history]).all()


def test_standardisation_is_stored_and_not_trained():
    classifier = MultiHeadClassifier(HeadShape(7, 4, 3, 6, 5, input="standardise"))
    assert isinstance(classifier.normalisation, Standardisation)
    assert {name for name in classifier.state_dict() if name.startswith("normalisation")} == {
        "normalisation.mean",
        "normalisation.inverse_scale",
    }
    assert not list(classifier.normalisation.parameters())
