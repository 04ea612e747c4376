import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pipeline_lib.base.errors import UserError
from pipeline_lib.segins.transfer.dense_probe.score_counts import BINS, HIGHEST, LOWEST, ScoreCounts, lower_edge


def images(seed, count=3):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        truth = generator.choice([0, 0, 0, 2, 5, 255], (40, 50)).astype(np.uint8)
        yield generator.normal(0.2, 0.15, truth.shape) + 0.3 * (truth > 0), truth


def counted(pairs):
    counts = ScoreCounts()
    for scores, truth in pairs:
        counts.add(scores, truth)
    return counts


def flat(pairs):
    pairs = list(pairs)
    scores, truth = (np.concatenate([pair[place].ravel() for pair in pairs]) for place in (0, 1))
    return scores[truth != 255], truth[truth != 255] > 0


def test_average_precision_is_that_of_all_pixels():
    scores, objects = flat(images(0))
    expected = average_precision_score(objects, scores)
    assert counted(images(0)).average_precision() == pytest.approx(expected, abs=1e-3)
    assert counted(images(0)).object_share() == pytest.approx(objects.mean())


def test_a_score_that_knows_nothing_has_the_share_of_objects():
    counts = counted([(np.full((40, 50), 0.3), truth) for _, truth in images(1)])
    assert counts.average_precision() == pytest.approx(counts.object_share())


def test_iou_of_a_bin_is_that_of_the_pixels_from_its_lower_edge():
    scores, objects = flat(images(2))
    iou = counted(images(2)).iou()
    for place in (0, 4000, 6000, 9000):
        found = scores >= lower_edge(place)
        assert iou[place] == pytest.approx((found & objects).sum() / (found | objects).sum())


def test_the_best_bin_parts_what_can_be_parted():
    truth = np.repeat([[0, 1]], 8, axis=0).astype(np.uint8)
    counts = counted([(np.where(truth > 0, 0.8, 0.4), truth)])
    assert counts.iou()[counts.best_bin()] == 1.0
    assert 0.4 < lower_edge(counts.best_bin()) <= 0.8


def test_scores_beyond_the_ends_are_kept_in_the_outer_bins():
    truth = np.array([[0, 1]], dtype=np.uint8)
    counts = counted([(np.array([[LOWEST - 9, HIGHEST + 9]]), truth)]).counts
    assert (counts[0, 0], counts[1, BINS - 1], counts.sum()) == (1, 1, 2)


def test_images_without_objects_are_refused():
    with pytest.raises(UserError, match="no pixel of the tested images is object"):
        counted([(np.zeros((4, 4)), np.zeros((4, 4), dtype=np.uint8))]).average_precision()
