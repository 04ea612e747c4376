import io
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.detection.grouping import (
    group_size,
    orientation_groups,
    training_batches,
)
from pipeline_lib.segins.transfer.detection.samples import TrainingSamples, resized_size

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# Width and height as they are frequent in VOC, one portrait in four; and a square, which is not wide.
SIZES = ((50, 37), (50, 33), (50, 37), (33, 50), (50, 37), (37, 50), (50, 28), (40, 40), (50, 37), (50, 37), (31, 50))


def padding_share(groups):
    """Share of the pixels of padded groups that are padding, from height and width of each image by group."""
    whole = sum(len(group) * max(h for h, _ in group) * max(w for _, w in group) for group in groups)
    return 1 - sum(h * w for group in groups for h, w in group) / whole


@pytest.fixture
def samples(tmp_path):
    rows = []
    with DatasetWriter(tmp_path / "images", ["thing"], None, {}) as writer:
        for number, (width, height) in enumerate(SIZES):
            content = io.BytesIO()
            Image.fromarray(np.full((height, width, 3), 20 * number, np.uint8)).save(content, format="PNG")
            writer.add(number, "train", image=content.getvalue())
            box = {"x0": 2, "y0": 2, "x1": 20, "y1": 20}
            facts = {"id": number, "split": "train", "label": 0, "difficult": False, "crowd": False, "mask": None}
            rows.append(facts | box)
    write_objects(tmp_path / "objects", rows, [], ["thing"], {})

    def make(seed=0):
        dataset, objects = open_dataset(tmp_path / "images"), open_objects(tmp_path / "objects")
        return TrainingSamples(dataset, objects, PLAIN, short_sides=(32, 40), longest_side=90, masks=False, seed=seed)

    return make


def pixels(groups):
    return [group.images for group in groups]


def test_no_group_mixes_orientations(samples):
    orientations = set()
    for batch in training_batches(samples(), range(12), 4, 0, 1, 0):
        assert [len(group.images) for group in batch] == [2, 2]
        for group in batch:
            wide = {width > height for height, width in group.sizes}
            assert len(wide) == 1
            orientations |= wide
            height, width = (max(side) for side in zip(*group.sizes, strict=True))
            assert group.images.shape == (2, 3, height, width)
    assert orientations == {True, False}


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_every_sample_comes_once_and_only_the_last_few_wait(size):
    wide = np.random.default_rng(0).random(1000) < 0.7
    groups = list(islice(orientation_groups(lambda position: bool(wide[position]), size), (1000 - 2 * size) // size))
    seen = sorted(position for group in groups for position in group)
    assert len(set(seen)) == len(seen)
    assert len(set(range(max(seen) + 1)) - set(seen)) <= 2 * (size - 1)
    for group in groups:
        assert len(group) == size
        assert len({bool(wide[position]) for position in group}) == 1
    for orientation in (True, False):
        ordered = [position for group in groups for position in group if wide[position] == orientation]
        assert ordered == sorted(ordered)


def test_every_image_is_seen_as_often_as_without_groups(samples):
    made = samples()
    groups = orientation_groups(made.is_wide, 2)
    positions = [position for group in islice(groups, 11 * 10 // 2) for position in group]
    counts = Counter(made._row(position) for position in positions)
    assert len(counts) == len(SIZES)
    assert all(abs(count - 10) <= 1 for count in counts.values())


def test_images_of_one_orientation_keep_the_order_of_the_samples():
    assert list(islice(orientation_groups(lambda _: False, 2), 3)) == [[0, 1], [2, 3], [4, 5]]


def test_batches_depend_on_seed_and_step_alone(samples):
    whole = list(training_batches(samples(), range(9), 4, 0, 1, 0))
    resumed = list(training_batches(samples(), range(5, 9), 4, 0, 1, 0))
    for expected, found in zip(whole[5:], resumed, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(pixels(expected), pixels(found), strict=True))
        assert [group.seed for group in found] == [group.seed for group in expected]
    seeds = [group.seed for batch in whole for group in batch]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {
        group.seed for groups in training_batches(samples(1), range(9), 4, 0, 1, 0) for group in groups
    }


def test_workers_give_the_same_batches(samples):
    here, there = (list(training_batches(samples(), range(3), 2, 0, 1, workers)) for workers in (0, 1))
    for a, b in zip(here, there, strict=True):
        assert torch.equal(*pixels([*a, *b]))


def test_processes_share_whole_groups(samples):
    whole = list(training_batches(samples(), range(2, 5), 4, 0, 1, 0))
    halves = [list(training_batches(samples(), range(2, 5), 4, rank, 2, 0)) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        shared = [group for half in halves for group in half[number]]
        assert all(torch.equal(a, b) for a, b in zip(pixels(batch), pixels(shared), strict=True))
        assert [group.seed for group in batch] == [group.seed for group in shared]


def test_an_odd_batch_is_not_padded_and_one_that_cannot_be_shared_is_refused(samples):
    assert [len(group.images) for group in next(training_batches(samples(), range(1), 3, 0, 1, 0))] == [1, 1, 1]
    assert (group_size(16, 8), group_size(3, 3)) == (2, 1)
    with pytest.raises(UserError, match=r"detection.batch_size = 6: 2 processes share groups of 2; a multiple of 4"):
        next(training_batches(samples(), range(1), 6, 0, 2, 0))


def test_an_unreadable_image_is_one_error(samples, monkeypatch):
    made = samples()
    monkeypatch.setattr(made, "_normalisation", lambda _: (_ for _ in ()).throw(UserError("image 3: broken")))
    with pytest.raises(UserError, match=r"^image 3: broken$"):
        next(training_batches(made, range(1), 2, 0, 1, 0))


def test_padding_falls_to_a_third():
    draw = np.random.default_rng(0)
    voc = [(500, 375), (500, 333), (500, 375), (375, 500)]
    shapes = [voc[int(draw.integers(4))] for _ in range(4000)]
    resized = [resized_size(w, h, int(draw.choice(range(480, 801, 32))), 1333) for w, h in shapes]
    sizes = [(height, width) for width, height in resized]
    batches = [sizes[first : first + 16] for first in range(0, len(sizes), 16)]
    groups = orientation_groups(lambda position: position < len(sizes) and sizes[position][1] > sizes[position][0], 2)
    taken = [[sizes[position] for position in group] for group in islice(groups, 1900)]
    before, after = padding_share(batches), padding_share(taken)
    assert 0.45 < before < 0.6
    assert 0.1 < after < before / 2.5
