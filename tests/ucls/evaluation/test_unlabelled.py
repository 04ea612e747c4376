import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.evaluation.unlabelled import mean_agreement, mean_pairwise_nmi, sampled_silhouette
from tests.array_features import ArrayFeatures


@pytest.fixture
def heads():
    rng = np.random.default_rng(1)
    planted = rng.integers(5, size=200)
    return np.stack([np.where(rng.random(200) < 0.7, planted, rng.integers(5, size=200)) for _ in range(4)])


def test_pairwise_nmi_is_the_mean_of_scikit_learns(heads):
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    expected = np.mean([normalized_mutual_info_score(heads[a], heads[b]) for a, b in pairs])
    assert mean_pairwise_nmi(heads) == pytest.approx(expected, abs=1e-12)


def test_a_single_head_has_no_pair(heads):
    assert mean_pairwise_nmi(heads[:1]) is None


def test_heads_that_only_rename_agree_fully(heads):
    renamed = np.stack([np.random.default_rng(s).permutation(5)[heads[0]] for s in range(3)])
    assert mean_agreement(heads[0], renamed) == 1.0
    assert mean_pairwise_nmi(renamed) == pytest.approx(1.0)


def test_agreement_counts_the_images_that_differ():
    labels = np.repeat([0, 1], 10)
    other = labels.copy()
    other[:2] = 1
    assert mean_agreement(labels, np.stack([labels, 1 - other])) == pytest.approx((1.0 + 0.9) / 2)


def test_silhouette_follows_its_definition():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 6))
    labels = rng.integers(3, size=30)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    values = []
    for i in range(30):
        own = (labels == labels[i]) & (np.arange(30) != i)
        a = distance[i, own].mean()
        b = min(distance[i, labels == c].mean() for c in set(labels) - {labels[i]})
        values.append((b - a) / max(a, b))
    assert sampled_silhouette(ArrayFeatures(x), labels, sample=100, seed=0) == pytest.approx(np.mean(values), abs=1e-5)


def test_silhouette_reads_its_sample_only_and_repeats_for_a_seed():
    rng = np.random.default_rng(4)
    features = ArrayFeatures(rng.standard_normal((500, 4)))
    labels = rng.integers(3, size=500)
    first = sampled_silhouette(features, labels, sample=60, seed=7)
    assert features.largest == 60
    assert sampled_silhouette(features, labels, sample=60, seed=7) == first
    assert sampled_silhouette(features, labels, sample=60, seed=8) != first


@pytest.mark.parametrize("labels", [np.zeros(9, int), np.arange(9)])
def test_silhouette_of_one_cluster_or_of_singletons_is_undefined(labels):
    assert sampled_silhouette(ArrayFeatures(np.eye(9)), labels, sample=9, seed=0) is None


def test_unfitting_arguments_are_refused(heads):
    with pytest.raises(UserError):
        mean_pairwise_nmi(heads[0])
    with pytest.raises(UserError):
        sampled_silhouette(ArrayFeatures(np.eye(4)), np.zeros(3, int), sample=4, seed=0)
    with pytest.raises(UserError):
        sampled_silhouette(ArrayFeatures(np.eye(4)), np.arange(4), sample=1, seed=0)
