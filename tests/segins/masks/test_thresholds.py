import numpy as np
import pytest

from pipeline_lib.segins.masks.thresholds import otsu_threshold, thresholded


def within_variance(values: np.ndarray, threshold: float) -> float:
    sides = [side for side in (values[values <= threshold], values[values > threshold]) if len(side)]
    return sum(len(side) * side.var() for side in sides)


def test_otsu_leaves_the_least_variance_within_the_sides() -> None:
    generator = np.random.default_rng(0)
    values = np.clip(np.concatenate([generator.normal(0.25, 0.1, 700), generator.normal(0.7, 0.08, 300)]), 0, 1)
    binned = (np.minimum(np.floor(values * 256), 255) + 0.5) / 256
    candidates = np.arange(1, 256) / 256
    best = min(within_variance(binned, float(bound)) for bound in candidates)
    assert within_variance(binned, otsu_threshold(values)) == pytest.approx(best)


def test_otsu_takes_the_middle_between_two_values() -> None:
    assert otsu_threshold(np.array([0.2, 0.2, 0.8])) == pytest.approx(0.5, abs=1 / 256)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_flat_map_has_no_foreground(value: float) -> None:
    assert otsu_threshold(np.full((4, 4), value)) == 1
    assert not thresholded(np.full((4, 4), value), "auto").any()


def test_a_value_at_the_threshold_is_ground() -> None:
    np.testing.assert_array_equal(thresholded(np.array([0.4, 0.5, 0.6]), 0.5), [False, False, True])
