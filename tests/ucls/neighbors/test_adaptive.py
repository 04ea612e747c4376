import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.neighbors.adaptive import AdaptiveRule, fitted_k_max, fitted_k_min


def kept(rule: AdaptiveRule, similarity: list[float]) -> int:
    values = np.array(similarity, dtype=np.float32)
    return int(rule.keeps(np.arange(len(values)), values).sum())


def test_keeps_k_min_and_what_reaches_the_threshold_up_to_k_max():
    similarity = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert kept(AdaptiveRule(0.95, 2, 4), similarity) == 2
    assert kept(AdaptiveRule(0.65, 2, 4), similarity) == 3
    assert kept(AdaptiveRule(0.1, 2, 4), similarity) == 4


def test_threshold_is_inclusive_and_compared_in_float32():
    rule = AdaptiveRule(0.1, 1, 9)
    just_below = np.nextafter(np.float32(0.1), np.float32(0))
    assert kept(rule, [1.0, np.float32(0.1)]) == 2
    assert kept(rule, [1.0, just_below]) == 1
    assert np.float16(just_below) == np.float16(0.1)


def test_threshold_of_one_and_no_adaptation_keep_k_min_only():
    assert kept(AdaptiveRule(1.0, 2, 4), [1.0] * 5) == 2
    assert kept(AdaptiveRule(0.1, 2, 4, adaptive=False), [1.0] * 5) == 2


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1.5, 1, 2), "threshold = 1.5"),
        ((float("nan"), 1, 2), "threshold = nan"),
        ((0.5, 0, 2), "k_min = 0"),
        ((0.5, 3, 2), "k_max = 2"),
    ],
)
def test_impossible_values_are_refused_by_name(values, named):
    with pytest.raises(UserError, match=named):
        AdaptiveRule(*values)


def test_fitted_lengths_follow_the_class_size():
    assert [fitted_k_min(count, 10) for count in (100, 1437, 50000)] == [10, 14, 50]
    assert [fitted_k_max(count, 10, 50) for count in (100, 1437)] == [50, 143]
