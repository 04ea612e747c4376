import numpy as np
import pytest
import torch

from pipeline_lib.base import runtime
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.prediction.images import find_images
from pipeline_lib.ucls.prediction.model import load_model
from pipeline_lib.ucls.prediction.predict import predict_images


class Collected:
    """A table in memory."""

    def __init__(self):
        self.paths, self.clusters, self.probability, self.entropy = [], [], [], []

    def add(self, paths, block):
        assert block.rows == slice(len(self.paths), len(self.paths) + len(paths))
        self.paths += paths
        self.clusters += block.labels.tolist()
        self.probability += block.confidence.tolist()
        self.entropy += block.entropy.tolist()


def predicted(trained, inputs, *, precision="float32", model=None, **options):
    table, warnings = Collected(), []
    summary = predict_images(
        runtime.start("cpu", precision),
        model or load_model(trained.artifact),
        find_images(inputs),
        table,
        **({"batch_size": 3, "workers": 0, "unreadable": "skip", "warn": warnings.append} | options),
    )
    return table, summary, warnings


def test_the_images_of_the_val_split_get_the_predictions_of_the_self_train_stage(trained):
    table, summary, warnings = predicted(trained, [trained.photos])
    expected = trained.artifact.predictions("val")
    assert table.paths == [str(trained.photos / f"{id}.png") for id in expected.ids]
    assert table.clusters == expected.clusters.tolist()
    assert len(set(table.clusters)) > 1
    np.testing.assert_allclose(table.probability, expected.probability, atol=1e-5)
    np.testing.assert_allclose(table.entropy, expected.entropy, atol=1e-4)
    assert (summary.predicted, summary.skipped, warnings) == (7, 0, [])
    assert summary.images_per_second > 0


def test_float16_features_change_predictions_by_their_rounding_only(with_rounded_features):
    trained = with_rounded_features
    table, _, _ = predicted(trained, [trained.photos])
    expected = trained.artifact.predictions("val")
    assert table.clusters == expected.clusters.tolist()
    np.testing.assert_allclose(table.probability, expected.probability, atol=2e-3)


def test_the_precision_is_that_of_the_engine(trained_of):
    trained = trained_of("cnn")
    exact, _, _ = predicted(trained, [trained.photos])
    rounded, _, _ = predicted(trained, [trained.photos], precision="bfloat16")
    assert exact.probability != rounded.probability
    np.testing.assert_allclose(rounded.probability, exact.probability, atol=0.2)


def with_broken(trained, folder):
    good = sorted(trained.photos.iterdir())
    paths = [folder / f"{number}.png" for number in range(6)]
    for path, source in zip(paths, good, strict=False):
        path.write_bytes(source.read_bytes())
    for path in (paths[1], paths[2]):
        path.write_bytes(path.read_bytes()[:50])
    paths[5].write_text("no image")
    return paths


def test_broken_images_are_left_out_with_a_warning_each(pixels, tmp_path):
    paths = with_broken(pixels, tmp_path)
    table, summary, warnings = predicted(pixels, [tmp_path])
    expected = pixels.artifact.predictions("val")
    assert table.paths == [str(paths[number]) for number in (0, 3, 4)]
    assert table.clusters == expected.clusters[[0, 3, 4]].tolist()
    assert [text.split(": ")[0] for text in warnings] == [str(paths[number]) for number in (1, 2, 5)]
    assert (summary.predicted, summary.skipped) == (3, 3)


def test_the_first_broken_image_can_end_it(pixels, tmp_path):
    paths = with_broken(pixels, tmp_path)
    with pytest.raises(UserError, match=r"1\.png: cannot be decoded .*--unreadable skip leaves such images out"):
        predicted(pixels, [*paths], unreadable="stop")


def test_nothing_readable_is_an_error(pixels, tmp_path):
    paths = with_broken(pixels, tmp_path)
    with pytest.raises(UserError, match=r"^none of the 2 images can be used$"):
        predicted(pixels, [paths[1], paths[5]])


def test_values_that_are_not_finite_are_refused_with_the_image(pixels):
    model = load_model(pixels.artifact)
    model.module.classifier.linear.bias[0] = torch.nan
    with pytest.raises(UserError, match=r"1000\.png: the model gives values that are not finite"):
        predicted(pixels, [pixels.photos], model=model)
