"""Generated features and lists are what they are said to be."""

import numpy as np
import pytest
import torch

from benchmarks.generated import GeneratedRows, threshold_for, write_generated, write_planted_lists
from pipeline_lib.features.search_space import SearchSpace

CPU = torch.device("cpu")


def test_planted_lists_hold_other_images_of_the_class(tmp_path):
    labels = np.random.default_rng(0).integers(7, size=500)
    neighbors = write_planted_lists(tmp_path / "lists", labels, 12)
    owners = np.repeat(np.arange(500), 12)
    assert (neighbors.lengths() == 12).all()
    assert (labels[neighbors.indices] == labels[owners]).all()
    assert (np.asarray(neighbors.indices) != owners).all()
    # Every other image of a class can be drawn.
    smallest = np.flatnonzero(labels == np.bincount(labels).argmin())
    drawn = {int(other) for image in smallest for other in neighbors.of(image)[0]}
    assert drawn == set(smallest.tolist())


def test_rows_of_a_class_are_near_each_other_and_do_not_depend_on_the_run(tmp_path):
    rows = GeneratedRows(32, 5, CPU)
    features = [write_generated(tmp_path / name, {"train": 400, "val": 60}, rows, 32) for name in ("a", "b")]
    for split in ("train", "val"):
        first, second = (one.split(split).rows(slice(None)) for one in features)
        np.testing.assert_array_equal(first, second)
    vectors = SearchSpace(features[0].split("train")).rows(slice(None))
    similarity = vectors @ vectors.T
    labels = rows.labels(400)
    same = labels[:, None] == labels
    np.fill_diagonal(similarity, np.nan)
    assert np.nanmean(similarity[same]) > 0.3 > np.nanmean(similarity[~same]) + 0.2


@pytest.mark.parametrize("mean_length", [5, 40])
def test_the_threshold_gives_lists_of_the_mean_length(tmp_path, mean_length):
    features = write_generated(tmp_path / "features", {"train": 3000}, GeneratedRows(48, 20, CPU), 48)
    space = SearchSpace(features.split("train"))
    threshold = threshold_for(space, mean_length, CPU)
    vectors = space.rows(slice(None)).astype(np.float64)
    found = ((vectors @ vectors.T) >= threshold).sum() / 3000 - 1
    assert found == pytest.approx(mean_length, rel=0.25)
