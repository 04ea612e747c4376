"""Runs a trained detector over test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.artifacts.detections import Detections, encoded_masks
from pipeline_lib.base.progress import progress
from pipeline_lib.segins.transfer.detection.detector import Detector
from pipeline_lib.segins.transfer.detection.masks import paste_masks
from pipeline_lib.segins.transfer.detection.region_heads import Found
from pipeline_lib.segins.transfer.detection.samples import EvaluationImage, EvaluationSamples, evaluation_batches


@torch.no_grad()
def detect(
    detector: Detector, samples: EvaluationSamples, batch_size: int, workers: int, device: torch.device
) -> Detections:
    """Detections on all images, in the pixels of the images before they were resized.

    Args:
        detector: The detector; put into evaluation mode.
        samples: The images.
        batch_size: Most images a batch.
        workers: Processes that decode.
        device: Where the detector is.

    Returns:
        The detections by image, in the samples' order, then by falling score.
    """
    detector.eval()
    images: list[int] = []
    parts: list[tuple[EvaluationImage, Found, list[bytes] | None]] = []
    bar = progress(range(len(samples)), "detect", unit="image")
    for batch in evaluation_batches(samples, batch_size, workers):
        pixels = torch.stack([image.pixels for image in batch]).to(device, non_blocking=True)  # (N, 3, H, W)
        height, width = int(pixels.shape[2]), int(pixels.shape[3])
        results = detector.detect(pixels, [(height, width)] * len(batch))
        for image, found in zip(batch, results, strict=True):
            images.append(image.id)
            parts.append((image, *_in_image(found, image, height, width)))
        bar.update(len(batch))
    bar.close()
    return _joined(images, parts)


def _in_image(found: Found, image: EvaluationImage, height: int, width: int) -> tuple[Found, list[bytes] | None]:
    scale = found.boxes.new_tensor([image.width / width, image.height / height] * 2)
    boxes = found.boxes * scale
    kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    boxes = boxes[kept]
    masks = None
    if found.masks is not None:
        pasted = paste_masks(found.masks[kept], boxes, image.height, image.width)
        masks = encoded_masks(pasted.cpu().numpy())
    return Found(boxes.cpu(), found.scores[kept].cpu(), found.labels[kept].cpu()), masks


def _joined(images: list[int], parts: list[tuple[EvaluationImage, Found, list[bytes] | None]]) -> Detections:
    def column(values: list[Tensor], empty: Tensor) -> np.ndarray:
        return torch.cat([empty, *values]).numpy()

    counts = [len(found.scores) for _, found, _ in parts]
    sizes = np.array([(image.height, image.width) for image, _, _ in parts], dtype=np.int32).reshape(-1, 2)
    masked = all(masks is not None for _, _, masks in parts)
    return Detections(
        images=np.array(images, dtype=np.int64),
        ids=np.repeat(np.array(images, dtype=np.int64), counts),
        labels=column([found.labels for _, found, _ in parts], torch.zeros(0).long()).astype(np.int32),
        scores=column([found.scores for _, found, _ in parts], torch.zeros(0)),
        boxes=column([found.boxes for _, found, _ in parts], torch.zeros(0, 4)),
        masks=tuple(mask for _, _, masks in parts for mask in masks or ()) if masked else None,
        sizes=np.repeat(sizes, counts, axis=0),
    )


def joined_detections(parts: Sequence[Detections]) -> Detections:
    """Detections of several processes as one, in their order; those of no image may be among them."""
    tested = [part for part in parts if len(part.images)] or parts[:1]
    masked = all(part.masks is not None for part in tested)
    return Detections(
        images=np.concatenate([part.images for part in tested]),
        ids=np.concatenate([part.ids for part in tested]),
        labels=np.concatenate([part.labels for part in tested]),
        scores=np.concatenate([part.scores for part in tested]),
        boxes=np.concatenate([part.boxes for part in tested]),
        masks=tuple(mask for part in tested for mask in part.masks or ()) if masked else None,
        sizes=np.concatenate([part.sizes for part in tested]),
    )
