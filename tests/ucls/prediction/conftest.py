"""Small classifiers made by the stages themselves, one for each kind of backbone."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.artifacts.classifier import Classifier, open_classifier
from pipeline_lib.artifacts.consensus import ConsensusSplit, MethodScores, write_consensus
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings
from pipeline_lib.params.params import load_params
from stages import classes, extract, self_train
from stages._context import StageContext

CLUSTERS = 3
COUNTS = {"train": 30, "val": 7}
ARCHITECTURES = {"cnn": "test_efficientnet", "vit": "test_vit"}


@dataclass(frozen=True)
class Trained:
    """A workspace with a trained classifier.

    Attributes:
        root: Folder of the workspace.
        run: Name of the run.
        photos: Folder with the val images as files, in row order.
        weights: File with the weights of the backbone; None for pixels.
    """

    root: Path
    run: str
    photos: Path
    weights: Path | None

    @property
    def folder(self) -> Path:
        return self.root / "data" / "classifier" / self.run

    @property
    def artifact(self) -> Classifier:
        return open_classifier(self.folder)


def picture(number: int, side: int) -> bytes:
    """A noisy PNG whose colour and brightness tell its cluster."""
    rng = np.random.default_rng(number)
    cluster = number % CLUSTERS
    colour = 60 * np.eye(3)[cluster] + 20 + 50 * cluster
    stream = io.BytesIO()
    pixels = (colour + 50 * rng.random((side, side, 3))).astype(np.uint8)
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def write_images(context: StageContext, photos: Path, side: int) -> None:
    photos.mkdir(parents=True)
    with DatasetWriter(context.artifact("datasets"), None, None, {}) as writer:
        for first, (split, count) in zip((0, 1000), COUNTS.items(), strict=True):
            for number in range(first, first + count):
                writer.add(number, split, image=picture(number, side))
                if split == "val":
                    (photos / f"{number}.png").write_bytes(picture(number, side))


def write_pseudo_labels(context: StageContext) -> None:
    splits = {}
    for first, (split, count) in zip((0, 1000), COUNTS.items(), strict=True):
        ids = np.arange(first, first + count, dtype=np.int64)
        labels = (ids % CLUSTERS).astype(np.int32)
        scores = {"vote": MethodScores(anmi=1.0)}
        splits[split] = ConsensusSplit(ids, {"vote": labels}, "vote", scores, np.ones(count, np.float32))
    write_consensus(context.artifact("consensus"), splits=splits, classes=CLUSTERS, settings={}, made_by={})


def train(root: Path, repository: Path, backbone: str, *, storage: str = "float32") -> Trained:
    params = load_params(repository / "params.yaml")
    weights = None
    backbones = dict(params.backbones)
    if backbone in ARCHITECTURES:
        import timm  # only after the package has made torchvision importable

        weights = root / f"{backbone}.pth"
        torch.manual_seed(7)
        options = {"img_size": 32} if backbone == "vit" else {}
        torch.save(timm.create_model(ARCHITECTURES[backbone], num_classes=0, **options).state_dict(), weights)
        backbones[backbone] = BackboneSettings(
            model=ARCHITECTURES[backbone],
            weights=WeightsSettings(source="file", path=str(weights)),
            image_size=32,
            last_blocks=2,
            name=backbone,
        )
    changes = {
        "extract": params.extract.model_copy(update={"storage": storage}),
        "self_train": params.self_train.model_copy(update={"rates": (0.01, 0.1), "iterations": 60, "batch_size": 16}),
        "machine": params.machine.model_copy(update={"workers": 0, "device": "cpu"}),
        "datasets": {"small": params.datasets["my_images"].model_copy(update={"classes": CLUSTERS})},
        "backbones": backbones,
    }
    context = StageContext("self_train", params.model_copy(update=changes), "small", backbone, root)
    write_images(context, root / "photos", side=8 if backbone == "pixels" else 40)
    extract.run(context)
    classes.run(context)
    write_pseudo_labels(context)
    self_train.run(context)
    return Trained(root, context.run, root / "photos", weights)


@pytest.fixture(scope="session")
def trained_of(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Callable[[str], Trained]:
    """A classifier on ``pixels``, a small ``cnn`` or a small ``vit``, made once; tests must not change it."""
    made: dict[str, Trained] = {}

    def get(backbone: str) -> Trained:
        if backbone not in made:
            made[backbone] = train(tmp_path_factory.mktemp(backbone), repository, backbone)
        return made[backbone]

    return get


@pytest.fixture
def with_rounded_features(tmp_path: Path, repository: Path) -> Trained:
    """A classifier on pixels whose features were stored as float16."""
    return train(tmp_path, repository, "pixels", storage="float16")


@pytest.fixture(params=["pixels", "cnn", "vit"])
def trained(request: pytest.FixtureRequest, trained_of: Callable[[str], Trained]) -> Trained:
    return trained_of(request.param)


@pytest.fixture
def pixels(trained_of: Callable[[str], Trained]) -> Trained:
    return trained_of("pixels")
