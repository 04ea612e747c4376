import numpy as np
import pytest

from pipeline_lib.features.search_space import SearchSpace
from pipeline_lib.ucls.neighbors.auto_threshold import BIN, choose_threshold


class Rows:
    def __init__(self, values):
        self.values = values.astype(np.float32)
        self.count, self.dimension = values.shape
        self.columns = {"all": (0, self.dimension)}

    def rows(self, indices):
        return self.values[indices]


def mixture(classes=5, each=60, noise=0.6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 30))
    labels = np.repeat(np.arange(classes), each)
    return centres[labels] + noise * rng.normal(size=(len(labels), 30)), labels


def naive_shares(values, classes, edges):
    """Shared neighbours of every ordered pair by plain loops over sets, in float64."""
    centred = values - values.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    similarity = unit @ unit.T
    k = len(values) // (2 * classes)
    sets = []
    for row in range(len(values)):
        order = [other for other in np.argsort(-similarity[row]) if other != row]
        sets.append(set(order[:k]))
    total, pairs = np.zeros(len(edges)), np.zeros(len(edges))
    for a in range(len(values)):
        for b in range(len(values)):
            if a != b and similarity[a, b] >= edges[0]:
                bin_ = int(np.searchsorted(edges, similarity[a, b], side="right")) - 1
                total[bin_] += len(sets[a] & sets[b]) / k
                pairs[bin_] += 1
    return total, pairs


def test_shares_equal_plain_loops_over_sets():
    values, _ = mixture(classes=3, each=30)
    found = choose_threshold(SearchSpace(Rows(values)), 3)
    total, pairs = naive_shares(values, 3, found.edges)
    np.testing.assert_array_equal(found.pairs, pairs)
    many = pairs >= 50
    assert many.sum() > 10
    np.testing.assert_allclose(found.shared[many], (total / np.maximum(pairs, 1))[many], atol=1e-6)
    assert np.isnan(found.shared[~many]).all()


@pytest.mark.parametrize("noise", [0.4, 0.8, 1.1])
def test_pairs_above_the_threshold_are_mostly_of_one_class_whatever_the_noise(noise):
    values, labels = mixture(noise=noise)
    space = SearchSpace(Rows(values))
    threshold = choose_threshold(space, 5).threshold
    vectors = space.rows(np.arange(len(values)))
    above = np.triu(vectors @ vectors.T, 1) >= threshold
    first, second = np.nonzero(above)
    assert len(first) > 500
    assert (labels[first] == labels[second]).mean() > 0.85


def test_asking_for_more_shared_neighbours_never_lowers_the_threshold():
    space = SearchSpace(Rows(mixture(noise=1.0)[0]))
    found = [choose_threshold(space, 5, shared=share).threshold for share in (0.2, 0.35, 0.5, 0.65, 0.8)]
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_noise_without_classes_gives_no_threshold_below_which_lists_grow():
    values = np.random.default_rng(0).normal(size=(400, 60))
    assert choose_threshold(SearchSpace(Rows(values)), 10).threshold == 1.0


def test_the_order_of_the_images_does_not_matter():
    values, _ = mixture(noise=0.9)
    shuffled = values[np.random.default_rng(1).permutation(len(values))]
    one, other = (choose_threshold(SearchSpace(Rows(rows)), 5).threshold for rows in (values, shuffled))
    assert abs(one - other) <= BIN
