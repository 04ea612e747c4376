import numpy as np
import pytest

from pipeline_lib.reports.ucls.galleries import choose_galleries, images_per_gallery


def test_each_gallery_holds_the_extremes_of_its_cluster():
    rng = np.random.default_rng(0)
    clusters, probability = rng.integers(0, 3, 200), rng.random(200)
    agreement = rng.integers(1, 6, 200) / 5
    for gallery in choose_galleries(clusters, probability, agreement, 4)[:3]:
        members = [row for row in range(200) if clusters[row] == gallery.cluster]
        assert list(gallery.most) == sorted(members, key=lambda row: (-probability[row], row))[:12]
        assert list(gallery.least) == sorted(members, key=lambda row: (probability[row], -row))[:12]
        disputed = [row for row in members if agreement[row] < 1]
        assert list(gallery.disputed) == sorted(disputed, key=lambda row: (agreement[row], row))[:12]
        assert gallery.probability == pytest.approx(np.mean(probability[members]))
        assert gallery.agreement == pytest.approx(np.mean(agreement[members]))


@pytest.mark.parametrize("count", [1, 2, 3, 12, 23, 24, 25])
def test_no_image_is_both_sure_and_unsure_and_none_is_left_out_needlessly(count):
    (gallery,) = choose_galleries(np.zeros(count, np.int32), np.linspace(0, 1, count), np.ones(count), 1)
    assert not set(gallery.most) & set(gallery.least)
    assert len(gallery.most) + len(gallery.least) == min(count, 24)
    assert gallery.disputed == ()


def test_empty_cluster_has_no_means():
    empty = choose_galleries(np.zeros(3, np.int32), np.ones(3), np.ones(3), 2)[1]
    assert (empty.count, empty.probability, empty.agreement, empty.most) == (0, None, None, ())


def test_the_largest_are_shown_in_the_order_of_their_numbers():
    clusters = np.repeat(np.arange(6), [1, 5, 2, 4, 3, 0])
    shown = choose_galleries(clusters, np.ones(15), np.ones(15), 6, limit=3)
    assert [gallery.cluster for gallery in shown] == [1, 3, 4]


@pytest.mark.parametrize(("clusters", "expected"), [(1, 12), (83, 12), (100, 10), (500, 2), (1000, 1), (100_000, 1)])
def test_galleries_shrink_with_the_number_of_clusters(clusters, expected):
    assert images_per_gallery(clusters) == expected
