import io

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.transfer.linear.evaluation import linear_evaluation
from pipeline_lib.segins.transfer.linear.samples import Crops, centre_crop, random_crop, share_of
from pipeline_lib.segins.transfer.linear.training import LinearTrainer, rate_at, topk_accuracy

PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220))

CPU, HERE = torch.device("cpu"), {"seed": 0, "workers": 0}


def settings(**changes):
    section = load_params().linear_eval
    return section.model_copy(update={"image_size": 32, "epochs": 20, "batch_size": 16} | changes)


class MeanColour(torch.nn.Module):
    def forward(self, images):
        return images.mean(dim=(2, 3))


def written(folder, labelled=True, classes=3):
    with DatasetWriter(folder, tuple("abc")[:classes], None, {}) as writer:
        for split, count in (("train", 30), ("val", 15)):
            for number in range(count):
                label = number % classes
                noise = np.random.default_rng(number).integers(-30, 30, (40, 50, 3))
                pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, format="PNG")
                known = (
                    {"label": label, "class_name": "abc"[label]} if labelled else {"label": None, "class_name": None}
                )
                writer.add(number + 100 * (split == "val"), split, image=stream.getvalue(), path=None, **known)
    return open_dataset(folder)


@pytest.mark.parametrize("augment", [False, True])
def test_classes_that_differ_in_colour_are_learned(tmp_path, augment):
    measures = linear_evaluation(MeanColour(), written(tmp_path / "d"), PLAIN, settings(augment=augment), CPU, **HERE)
    assert measures["top1"] == measures["knn_acc"] == 1.0
    assert (measures["train_images"], measures["test_images"], measures["classes"]) == (30, 15, 3)


def test_images_without_labels_are_refused(tmp_path):
    with pytest.raises(UserError, match="no labelled images in split train"):
        linear_evaluation(MeanColour(), written(tmp_path / "d", labelled=False), PLAIN, settings(), CPU, **HERE)


def test_one_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="one class only"):
        linear_evaluation(MeanColour(), written(tmp_path / "d", classes=1), PLAIN, settings(), CPU, **HERE)


def test_rates_fall_to_a_tenth_at_the_milestones():
    section = settings(epochs=100, batch_size=512, learning_rate=30.0, milestones=(0.6, 0.8))
    rates = [rate_at(epoch, section) for epoch in (0, 59, 60, 79, 80, 99)]
    np.testing.assert_allclose(rates, [60, 60, 6, 6, 0.6, 0.6])


def trainer(features, labels, section, seed=0):
    def of_epoch(_, order, first):
        return torch.split(features[order], section.batch_size)[first:]

    return LinearTrainer(of_epoch, labels, features.shape[1], 2, section, seed, CPU)


@pytest.mark.parametrize("moment", [(0, 1), (0, 2), (1, 0), (2, 2), (3, 0)])
def test_a_training_goes_on_from_any_step_with_the_same_bits(moment):
    features, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    section = settings(epochs=3, batch_size=16)
    states = {}

    def keep(running):
        content = io.BytesIO()
        torch.save(running.state(), content)
        states[running.epoch, running.step] = content.getvalue()

    whole = trainer(features, labels, section).run(after=keep)
    assert len(states) == 9
    again = trainer(features, labels, section)
    again.resume(torch.load(io.BytesIO(states[moment]), weights_only=True))
    taken = []
    assert torch.equal(again.run(after=lambda t: taken.append(t.step)).weight, whole.weight)
    assert len(taken) == 9 - 3 * moment[0] - moment[1]


@pytest.mark.parametrize(("count", "processes"), [(10, 3), (7, 4), (2, 4), (8, 2)])
def test_processes_share_a_batch_and_the_gathered_share_is_whole(count, processes):
    shares = [share_of(slice(5, 5 + count), rank, processes) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert [position for share in shares for position in share][:count] == list(range(5, 5 + count))
    assert all(position < 5 + count for share in shares for position in share)


def test_classifier_starts_small_and_depends_on_the_seed_alone():
    features, labels = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2

    def train(seed):
        section = settings(epochs=2)
        return trainer(features, labels, section, seed).run().weight

    torch.manual_seed(5)
    first = train(0)
    torch.manual_seed(6)
    assert torch.equal(first, train(0))
    assert not torch.equal(first, train(1))


def test_topk_accuracy():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    labels = torch.tensor([1, 0])
    assert [topk_accuracy(logits, labels, k) for k in (1, 2, 3, 5)] == [0.0, 0.5, 1.0, 1.0]


def test_centre_crop_is_the_middle():
    pixels = np.zeros((80, 160, 3), dtype=np.uint8)
    pixels[20:60, 60:100] = 255
    crop = np.asarray(centre_crop(Image.fromarray(pixels), 70)).astype(float) / 255
    # 80 / (256 / 224) = 70 pixels are seen, one for one, and the square of 40 lies in their middle.
    assert crop[15:55, 15:55].min() == 1.0
    assert crop[:14].max() == 0.0
    assert crop[:, 56:].max() == 0.0


def test_random_crops_depend_on_seed_epoch_and_row(tmp_path):
    dataset = written(tmp_path / "d")
    rows = np.arange(4)

    def crops(*drawn):
        return torch.stack([Crops(dataset, "train", rows, 32, PLAIN, drawn)[place] for place in range(4)])

    assert torch.equal(crops(0, 0), crops(0, 0))
    assert not torch.equal(crops(0, 0), crops(0, 1))
    assert not torch.equal(crops(0, 0), crops(1, 0))
    sizes = {random_crop(Image.new("RGB", (90, 30)), 32, np.random.default_rng(seed)).size for seed in range(20)}
    assert sizes == {(32, 32)}
