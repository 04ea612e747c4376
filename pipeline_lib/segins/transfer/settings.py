"""Settings of linear evaluation, detection, segmentation and the dense probe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_lib.base.settings import Count, Natural, Settings

Share = Annotated[float, Field(gt=0, lt=1)]
Milestones = Annotated[tuple[Share, ...], Field(strict=False)]


class LinearEvalSettings(Settings):
    """A linear classifier on frozen pooled features (MoCo's protocol).

    Attributes:
        image_size: Side of the crop, pixels (224).
        augment: Train on random resized crops drawn anew every epoch, as the protocol does; false: on centre crops,
            whose features are computed once.
        epochs: Passes over the training images (200 in the thesis).
        learning_rate: Rate for a batch of 256 (30).
        milestones: Shares of the training after which the rate falls to a tenth.
        batch_size: Images a step, over all processes.
        knn_neighbors: Neighbours of the k-NN classifier.
    """

    image_size: Annotated[int, Field(ge=32)]
    augment: bool
    epochs: Count
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Count
    milestones: Milestones = (0.6, 0.8)
    knn_neighbors: Count = 20


class DetectionSettings(Settings):
    """Faster R-CNN or Mask R-CNN with a C4 backbone.

    Attributes:
        masks: Also train the mask head (Mask R-CNN).
        metric: ``voc`` (2007's 11 points), ``voc_area`` or ``coco``.
        iterations: Training steps (24,000 on VOC, 180,000 for COCO 2x).
        batch_size: Images a step, over all processes (16); even ones are padded in pairs of one orientation.
        learning_rate: Peak rate (0.02).
        milestones: Shares of the training after which the rate falls to a tenth.
        warmup: Steps over which the rate grows from a thousandth (100 on VOC).
        short_sides: Sides that the shorter side is resized to in training, one drawn an image; the last one in testing.
        longest_side: Largest longer side, pixels.
        anchor_sizes: Roots of the anchors' areas, pixels of the resized image (32 to 512).
        anchors: Anchors an image that the proposals' losses are taken over (256).
        rois: Regions an image that the second stage is trained on (512).
        region_size: Bins a side of a region (14).
        training_proposals: Proposals an image in training (2,000).
        proposals: Proposals an image that are tested (1,000).
        score_threshold: Least score of a detection (0.05).
        detections: Most detections an image (100).
        precise_batches: Training batches over which the statistics of batch normalisation are taken anew at the end
            (200); 0 keeps the running ones.
        test_images: How many images of the test split are evaluated, evenly spread; ``null`` for all.
    """

    masks: bool
    metric: Literal["voc", "voc_area", "coco"]
    iterations: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    milestones: Milestones
    warmup: Natural
    short_sides: Annotated[tuple[Annotated[int, Field(ge=32)], ...], Field(strict=False, min_length=1)]
    longest_side: Annotated[int, Field(ge=32)]
    anchor_sizes: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
    anchors: Annotated[int, Field(ge=2)]
    rois: Annotated[int, Field(ge=4)]
    region_size: Annotated[int, Field(ge=2)]
    training_proposals: Count
    proposals: Count
    precise_batches: Natural
    test_images: Count | None
    score_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.05
    detections: Count = 100


class SegmentationSettings(Settings):
    """A linear layer on features of a stride of 16, frozen and fine-tuned (thesis 4.3.3).

    Attributes:
        modes: Which of ``frozen`` and ``fine_tuned`` to train.
        stage: Stage that the layer sees: ``res5``, dilated (the thesis), or ``res4``, which the SegIns branch trains.
        iterations: Training steps (40,000).
        batch_size: Images a step, over all processes (16).
        learning_rate: Rate at the start, with polynomial decay (0.01).
        scaling: Of frozen features; ``standardise``: the layer sees mean 0 and deviation 1, as they are over the first
            training batches, so that one rate suits all starts; ``none``: as the network gives them (the thesis).
        short_side: Side that the shorter side is resized to before the random scale and in testing (512); null: none.
        crop_size: Side of the training crop, pixels (512).
        test_images: Most images that are tested, evenly from the split; null: all.
    """

    modes: Annotated[tuple[Literal["frozen", "fine_tuned"], ...], Field(strict=False, min_length=1)]
    stage: Literal["res4", "res5"]
    iterations: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    scaling: Literal["none", "standardise"]
    short_side: Count | None
    crop_size: Annotated[int, Field(ge=32)]
    test_images: Count | None


class DenseProbeSettings(Settings):
    """A closed-form linear function of frozen features that tells objects from the background.

    Attributes:
        short_side: Side that the shorter side is resized to for the network, pixels; null: as it is. A cell of the
            features is 16 pixels of that size.
        train_images: Most images that the function is fitted to, evenly from the split; null: all.
        test_images: Most images that are tested, evenly from the split; null: all.
        strengths: Ridge strengths, of which cross-validation over training images chooses one; for features of
            deviation 1 and a mean squared error.
        folds: Of the cross-validation.
    """

    short_side: Count | None
    train_images: Count | None
    test_images: Count | None
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)] = (
        1e-4,
        1e-3,
        1e-2,
        1e-1,
        1.0,
    )
    folds: Annotated[int, Field(ge=2)] = 5
