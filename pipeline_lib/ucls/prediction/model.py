"""A classifier artifact as torch modules: from features to clusters, and from images to clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import Tensor, nn

from pipeline_lib.artifacts.classifier import Classifier
from pipeline_lib.backbones.build import Backbone, rebuilt
from pipeline_lib.backbones.extractors import FeatureExtractor
from pipeline_lib.backbones.settings import WeightsSettings
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.settings import Precision
from pipeline_lib.ucls.probe.classifier import LinearClassifier
from pipeline_lib.ucls.probe.features import FeatureInput, feature_input

_FACTS = ("name", "model", "weights", "image_size", "last_blocks", "blocks", "preprocessing", "precision")


class FeatureClassifier(nn.Module):
    """From features of the classifier's blocks to clusters, in float32."""

    def __init__(self, linear: LinearClassifier) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Classify.

        Args:
            features: (B, D), the blocks side by side as ``meta.json`` lists them.

        Returns:
            Probability of each cluster, float32 (B, C), and the most probable cluster, int64 (B,).
        """
        probability = self.linear.probabilities(features)
        return probability, probability.argmax(dim=-1)


class ImageClassifier(nn.Module):
    """From preprocessed images to clusters: backbone, choice of feature blocks, linear classifier."""

    def __init__(self, extractor: FeatureExtractor, columns: FeatureInput, classifier: FeatureClassifier) -> None:
        super().__init__()
        self.extractor = extractor
        self.columns = columns
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify.

        Args:
            images: Float32 (B, 3, H, W), preprocessed.

        Returns:
            Probability of each cluster, float32 (B, C), and the most probable cluster, int64 (B,).
        """
        return self.classify(self.extractor(images))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """As ``forward``, from all features of the backbone, (B, d)."""
        clusters: tuple[Tensor, Tensor] = self.classifier(self.columns.take(features))
        return clusters


@dataclass(frozen=True)
class TrainedModel:
    """A classifier with the backbone that its features come from.

    Attributes:
        artifact: The opened artifact.
        backbone: The rebuilt backbone with its preprocessing.
        module: Both as one module, in evaluation mode, on the CPU.
        precision: In which the features were made.
    """

    artifact: Classifier
    backbone: Backbone
    module: ImageClassifier
    precision: Precision


def feature_classifier(artifact: Classifier) -> FeatureClassifier:
    """The classifier alone, in evaluation mode, on the CPU.

    Raises:
        UserError: Its tensors are not those that ``meta.json`` announces.
    """
    return FeatureClassifier(LinearClassifier.from_state(artifact.state())).eval()


def load_model(artifact: Classifier, weights: Path | None = None) -> TrainedModel:
    """Rebuild the backbone that the artifact records, with the very same weights, and put the classifier behind it.

    Args:
        artifact: The opened artifact.
        weights: File with the backbone's weights where it is no longer where it was; None: as recorded.

    Returns:
        The model.

    Raises:
        UserError: The artifact was made before all facts were recorded, the weights are others than those recorded, or
            the backbone gives other features than those that the classifier was trained on.
        MissingFileError: The weights are not there.
    """
    facts = artifact.backbone
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        raise UserError(
            f"{artifact.folder}: does not record {', '.join(missing)} of its backbone, an older version made it; "
            "run the pipeline again from stage extract on"
        )
    if facts["precision"] not in get_args(Precision):
        raise UserError(
            f"{artifact.folder}: precision of the backbone is {facts['precision']!r}; "
            f"allowed: {', '.join(get_args(Precision))}"
        )
    try:
        backbone = rebuilt(facts, None if weights is None else WeightsSettings(source="file", path=str(weights)))
    except MissingFileError as error:
        raise MissingFileError(f"{error}; or name the file with --weights") from None
    columns = feature_input(tuple(name for name, _ in artifact.blocks), backbone.extractor.blocks)
    found = [(name, backbone.extractor.widths[name]) for name in columns.blocks]
    if found != list(artifact.blocks):
        raise UserError(f"{artifact.folder}: trained on blocks {list(artifact.blocks)}; the backbone gives {found}")
    module = ImageClassifier(backbone.extractor, columns, feature_classifier(artifact)).eval()
    return TrainedModel(artifact, backbone, module, facts["precision"])
