import io

import numpy as np
import pytest
import torch
from objects_kit import write_objects
from PIL import Image

from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.artifacts.objects import encoded_png, open_objects
from pipeline_lib.artifacts.segmentations import open_segmentations, write_segmentations
from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.normalisation import Normalisation
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.resnet.build import build_resnet, stage_maps
from pipeline_lib.segins.transfer.segmentation.evaluation import evaluated_mode
from pipeline_lib.segins.transfer.segmentation.feature_scale import standardise_features
from pipeline_lib.segins.transfer.segmentation.model import build_segmenter
from pipeline_lib.segins.transfer.segmentation.samples import TrainingCrops, rows_with_maps
from pipeline_lib.segins.transfer.segmentation.scores import ConfusionMatrix
from pipeline_lib.segins.transfer.segmentation.training import SegmentationTrainer, learning_rate

PLAIN = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def settings(**changes):
    section = load_params().segmentation
    small = {"iterations": 6, "batch_size": 2, "crop_size": 64, "short_side": None, "stage": "res5"}
    return section.model_copy(update=small | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten images, left half red and of class 1, right half background; the last training image has no map."""
    folder = tmp_path_factory.mktemp("data")
    maps = []
    with DatasetWriter(folder / "images", ("thing",), None, {}) as writer:
        for number in range(10):
            split = "train" if number < 7 else "val"
            pixels = np.random.default_rng(number).integers(0, 60, (64, 80, 3), dtype=np.uint8)
            pixels[:, :40, 0] = 230
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, format="PNG")
            writer.add(number, split, image=stream.getvalue(), path=None, label=0, class_name="thing")
            classes = np.zeros((64, 80), dtype=np.uint8)
            classes[:, :40] = 1
            classes[:2] = 255
            if number != 6:
                maps.append({"id": number, "split": split, "map": encoded_png(classes)})
    write_objects(folder / "objects", [], maps, ("thing",), {})
    return open_dataset(folder / "images"), open_objects(folder / "objects")


def crops(data, section):
    return TrainingCrops(*data, PLAIN, short_side=section.short_side, crop_size=section.crop_size, seed=0)


def trainer(data, section, frozen):
    fabric = runtime.start("cpu", seed=0)
    torch.manual_seed(0)
    weights = build_resnet("resnet18").state_dict()
    segmenter = build_segmenter("resnet18", weights, 2, "test", frozen=frozen)
    return SegmentationTrainer(fabric, section, segmenter, crops(data, section), 0), fabric


def test_rows_without_maps_are_left_out(data):
    assert rows_with_maps(*data, "train").tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="no image of split test has a segmentation map"):
        rows_with_maps(*data, "test")


def test_crops_keep_image_and_map_together(data):
    samples = crops(data, settings(crop_size=48))
    for position in range(12):
        pixels, classes = samples[position]
        assert pixels.shape == (3, 48, 48)
        inside = classes != 255
        red = (pixels[0] - pixels[2]) > 1.0
        # Saturation may change and borders are interpolated, but the red half stays the one of class 1.
        assert (red[inside] == (classes[inside] == 1)).float().mean() > 0.85
    again = crops(data, settings(crop_size=48))
    assert torch.equal(samples[5][0], again[5][0])


def test_padding_is_not_counted(data):
    _, classes = crops(data, settings(crop_size=200))[0]
    assert (classes[-1] == 255).all()
    assert (classes[:, -1] == 255).all()


def test_scores_are_those_of_the_linear_layer_on_dilated_features():
    torch.manual_seed(0)
    weights = build_resnet("resnet18").state_dict()
    segmenter = build_segmenter("resnet18", weights, 3, "test", frozen=True).eval()
    images = torch.randn(2, 3, 64, 96)
    features = stage_maps(segmenter.backbone, images)["res5"]
    assert features.shape == (2, 512, 4, 6)
    naive = torch.einsum("kc,nchw->nkhw", segmenter.classifier.weight[:, :, 0, 0], features)
    naive = naive + segmenter.classifier.bias[:, None, None]
    expected = torch.nn.functional.interpolate(naive, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(segmenter(images), expected, rtol=1e-4, atol=1e-5)


def test_standardised_features_have_mean_zero_and_deviation_one():
    torch.manual_seed(0)
    segmenter = build_segmenter("resnet18", build_resnet("resnet18").state_dict(), 3, "test", frozen=True)
    batches = [10 * torch.randn(2, 3, 64, 64) + 5 for _ in range(3)]
    segmenter.train()
    standardise_features(segmenter, batches)
    assert segmenter.training
    segmenter.eval()
    features = torch.cat([segmenter.features(images) for images in batches]).double()  # (N, C, H, W)
    alive = features.std(dim=(0, 2, 3), unbiased=False) > 1e-3
    assert alive.sum() > 100
    expected = features.mean(dim=(0, 2, 3)), features.std(dim=(0, 2, 3), unbiased=False)
    for found, naive in zip((segmenter.mean, segmenter.deviation), expected, strict=True):
        torch.testing.assert_close(found.flatten()[alive].double(), naive[alive], rtol=1e-4, atol=1e-5)


def test_the_linear_layer_that_is_kept_takes_features_as_they_are():
    torch.manual_seed(0)
    segmenter = build_segmenter("resnet18", build_resnet("resnet18").state_dict(), 3, "test", frozen=True)
    images = torch.randn(2, 3, 64, 64)
    standardise_features(segmenter, [images])
    segmenter.eval()
    layer = segmenter.linear_layer()
    scores = torch.nn.functional.conv2d(segmenter.features(images), layer["weight"], layer["bias"])
    expected = torch.nn.functional.interpolate(scores, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(segmenter(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_size_of_features_does_not_change_a_standardised_training(data):
    losses = []
    for factor in (1.0, 1000.0):
        training, _ = trainer(data, settings(scaling="standardise"), True)
        with torch.no_grad():
            last = training.segmenter.backbone.layer4[1].bn2
            last.weight.mul_(factor)
            last.bias.mul_(factor)
            shortcut = training.segmenter.backbone.layer4[0].downsample[1]
            first = training.segmenter.backbone.layer4[0].bn2
            for normalisation in (shortcut, first):
                normalisation.weight.mul_(factor)
                normalisation.bias.mul_(factor)
            training.segmenter.backbone.layer4[1].conv1.weight.div_(factor)
        losses.append([row["loss"] for row in training.run()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_a_layer_on_res4_sees_that_stage():
    network = build_resnet("resnet18").eval()
    segmenter = build_segmenter("resnet18", network.state_dict(), 2, "test", frozen=True, stage="res4").eval()
    images = torch.randn(2, 3, 64, 96)
    assert torch.equal(segmenter.features(images), stage_maps(network, images)["res4"])
    assert segmenter(images).shape == (2, 2, 64, 96)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_backbone_does_not_move(data, frozen):
    section = settings()
    training, _ = trainer(data, section, frozen)
    before = {key: value.clone() for key, value in training.segmenter.backbone.state_dict().items()}
    layer = training.segmenter.classifier.weight.detach().clone()
    training.run()
    after = training.segmenter.backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if "fc" not in key) == frozen
    assert not torch.equal(layer, training.segmenter.classifier.weight)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_resumed_training_ends_with_the_same_weights(data, frozen):
    section = settings(scaling="standardise")
    whole, _ = trainer(data, section, frozen)
    states = []
    whole.run(after=lambda running: states.append(copied(running.state())) if running.iteration == 3 else None)
    resumed, _ = trainer(data, section, frozen)
    resumed.resume(states[0])
    history = resumed.run()
    assert history == whole.history
    assert torch.equal(resumed.segmenter.mean, whole.segmenter.mean)
    assert bool(whole.segmenter.mean.any()) == frozen
    for first, second in zip(whole.segmenter.parameters(), resumed.segmenter.parameters(), strict=True):
        assert torch.equal(first, second)


def copied(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.mark.slow
def test_halves_are_learned_and_the_artifact_holds_them(data, tmp_path):
    section = settings(iterations=40, learning_rate=0.05)
    training, fabric = trainer(data, section, False)
    training.run()
    rows = rows_with_maps(*data, "val")
    mode, measures = evaluated_mode(training, *data, "val", rows, PLAIN, section, fabric)
    assert measures["miou"] > 0.75
    assert measures["pixel_acc"] > 0.85
    write_segmentations(tmp_path / "a", {"fine_tuned": mode}, class_names=["thing"], split="val", made_by={})
    opened = open_segmentations(tmp_path / "a")
    assert sorted(opened.maps["fine_tuned"]) == [7, 8, 9]
    np.testing.assert_array_equal(opened.maps["fine_tuned"][8], mode.maps[8])
    assert set(opened.modes["fine_tuned"]["class_iou"]) == {"background", "thing"}


def test_weights_of_another_architecture_are_refused():
    with pytest.raises(UserError, match="here: not the weights of this architecture"):
        build_segmenter("resnet18", build_resnet("resnet50").state_dict(), 2, "here", frozen=True)


def test_confusion_matrix_is_that_of_a_naive_count():
    rng = np.random.default_rng(0)
    matrix = ConfusionMatrix(5)
    truths, founds = [], []
    for _ in range(3):
        truth = rng.choice([0, 1, 2, 255], size=(9, 7)).astype(np.uint8)
        found = rng.integers(0, 4, size=(9, 7)).astype(np.uint8)
        matrix.add(truth, found)
        truths.append(truth)
        founds.append(found)
    truth, found = np.stack(truths), np.stack(founds)
    known = truth != 255
    expected = []
    for label in range(5):
        both = ((truth == label) & (found == label) & known).sum()
        either = (((truth == label) | (found == label)) & known).sum()
        expected.append(both / either if either else np.nan)
    np.testing.assert_allclose(matrix.class_iou(), expected)
    assert np.isnan(expected[4])
    assert matrix.measures()["miou"] == pytest.approx(np.nanmean(expected))
    assert matrix.measures()["pixel_acc"] == pytest.approx((truth == found)[known].mean())


def test_rate_decays_by_a_power():
    section = settings(iterations=100, learning_rate=0.01)
    assert learning_rate(0, section) == pytest.approx(0.01)
    assert learning_rate(50, section) == pytest.approx(1e-4 + 0.0099 * 0.5**0.9)
    assert learning_rate(99, section) < 3e-4
