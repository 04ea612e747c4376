import numpy as np
import pytest
import torch

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.objects import open_objects
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.segins.transfer.detection.samples import (
    EvaluationSamples,
    TrainingSamples,
    evaluation_batches,
    evaluation_split,
    resized_size,
)

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def samples(squares):
    folder = squares / "data" / "annotated" / "squares"

    def make(**changes):
        options = {"short_sides": (40, 80), "longest_side": 90, "masks": True, "seed": 0} | changes
        return TrainingSamples(open_dataset(folder / "images"), open_objects(folder / "objects"), PLAIN, **options)

    return make


@pytest.mark.parametrize(
    ("size", "short", "longest", "expected"),
    [
        ((500, 375), 800, 1333, (1067, 800)),
        ((500, 200), 800, 1333, (1333, 533)),
        ((100, 400), 50, 1333, (50, 200)),
        ((48, 40), 40, 90, (48, 40)),
    ],
)
def test_the_shorter_side_is_resized_within_the_bound_of_the_longer(size, short, longest, expected):
    assert resized_size(*size, short, longest) == expected


def test_boxes_and_masks_follow_the_image(samples):
    made = samples()
    seen = set()
    for position in range(30):
        image, targets = made[position]
        (x0, y0, x1, y1), (label,) = targets.boxes[0].tolist(), targets.labels.tolist()
        rows, columns = torch.where(image[label] > 0.6)
        assert columns.min() == pytest.approx(x0, abs=1.5)
        assert columns.max() + 1 == pytest.approx(x1, abs=1.5)
        assert rows.min() == pytest.approx(y0, abs=1.5)
        assert rows.max() + 1 == pytest.approx(y1, abs=1.5)
        inside = torch.zeros(image.shape[1:])
        inside[round(y0) : round(y1), round(x0) : round(x1)] = 1
        assert (targets.masks[0] != inside).float().mean() < 0.03
        seen.add((image.shape[1], round(x0)))
    assert {height for height, _ in seen} == {40, 75}, "80 would make the longer side 96"


def test_every_pass_has_each_image_with_objects_once(samples):
    made = samples(short_sides=(40,))
    assert made.images == 5, "one of six has no object"
    rows = [[made._row(start + number) for number in range(5)] for start in (0, 5, 10)]
    assert all(sorted(each) == [0, 1, 3, 4, 5] for each in rows)
    assert len({tuple(each) for each in rows}) > 1


def test_a_sample_depends_on_its_position_alone(samples):
    first, second = samples(), samples()
    list(map(first.__getitem__, range(7)))
    torch.testing.assert_close(first[9][0], second[9][0], rtol=0, atol=0)
    torch.testing.assert_close(first[9][1].boxes, second[9][1].boxes, rtol=0, atol=0)


def test_tested_images_keep_their_order_and_are_not_padded(squares):
    dataset = open_dataset(squares / "data" / "annotated" / "squares" / "images")
    assert evaluation_split(dataset) == "val"
    made = EvaluationSamples(dataset, "val", np.array([0, 2, 3]), PLAIN, 20, 90)
    batches = list(evaluation_batches(made, 2, 0))
    assert [[image.id for image in batch] for batch in batches] == [[6, 8], [9]]
    assert {tuple(image.pixels.shape) for batch in batches for image in batch} == {(3, 20, 24)}
    assert {(image.width, image.height) for image in made} == {(48, 40)}
