from itertools import pairwise

import numpy as np
import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.class_count.search import candidate_grid, fitted_maximum, score_class_counts
from pipeline_lib.ucls.class_count.settings import ClassCountSettings

SETTINGS = {"min": 2, "max": "auto", "sample": 2000, "neighbors": 30, "restarts": 4}


def scored(rows, seed=0, **changes):
    return score_class_counts(rows, ClassCountSettings(**(SETTINGS | changes)), seed=seed)


@pytest.mark.parametrize("classes", [3, 7, 12])
def test_planted_classes_are_found(planted, classes):
    rows, _ = planted(classes, 80)
    assert scored(rows).classes == classes


@pytest.mark.parametrize("classes", [3, 7, 12])
def test_planted_classes_of_unequal_sizes_are_found(planted, classes):
    sizes = np.geomspace(200, 40, classes).round().astype(int)
    rows, _ = planted(classes, sizes)
    assert scored(rows).classes == classes


@pytest.mark.slow
def test_many_planted_classes_are_found_nearly(planted):
    rows, _ = planted(100, 60, noise=0.4, dimension=64)
    assert 90 <= scored(rows, min=70, max=140, restarts=2).classes <= 110


@pytest.mark.slow
def test_another_order_of_rows_changes_neither_choice_nor_curve(planted, as_rows):
    rows, _ = planted(7, 80)
    shuffled = as_rows(rows.values[np.random.default_rng(5).permutation(rows.count)])
    first, second = scored(rows), scored(shuffled)
    assert first.classes == second.classes == 7
    at = dict(zip(second.candidates, second.scores, strict=True))
    close = [abs(v - at[k]) for k, v in zip(first.candidates, first.scores, strict=True) if k in at and k <= 10]
    assert max(close) < 0.08


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_and_a_sample_is_looked_at(planted):
    rows, _ = planted(5, 400)
    first = scored(rows, max=10, sample=600)
    assert first == scored(rows, max=10, sample=600)
    assert first.scores != scored(rows, max=10, sample=600, seed=1).scores
    assert (first.images, first.classes) == (600, 5)
    assert scored(rows, max=20, sample=600).images == 1200


def test_constant_rows_end_in_scores_and_not_in_an_error(as_rows):
    found = scored(as_rows(np.zeros((60, 4))), max=5)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(("low", "high"), [(2, 2), (2, 3), (5, 40), (2, 1000)])
def test_grid_rises_from_end_to_end_without_wide_gaps(low, high):
    grid = candidate_grid(low, high)
    assert (grid[0], grid[-1]) == (low, high)
    assert all(1 <= b - a <= max(1, a / 10) for a, b in pairwise(grid))


@pytest.mark.slow
def test_candidates_around_the_best_are_all_tried(planted):
    rows, _ = planted(25, 40, noise=0.4)
    found = scored(rows, max=40)
    best = found.candidates.index(found.classes)
    assert np.diff(found.candidates[best - 1 : best + 2]).tolist() == [1, 1]


def test_fitted_maximum():
    assert [fitted_maximum(n) for n in (360, 1438, 50_000, 1_281_167)] == [18, 37, 223, 1131]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min": 20}, "classes: max = auto, here 7 for 60 images: at least min = 20 is needed"),
        ({"max": 100}, "classes: max = 100: at most half of the 60 images is allowed"),
    ],
)
def test_refused_in_one_line(planted, changes, message):
    rows, _ = planted(3, 20)
    with pytest.raises(UserError) as caught:
        scored(rows, **changes)
    assert str(caught.value) == message
