"""Metrics of a SegIns run, from the files that its stages wrote, as one table by start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.metrics import read_metrics
from pipeline_lib.experiments.measures import ANY_METRIC

MEASURES = ("top1", "top5", "ridge_acc", "knn_acc")
DETECTION = tuple(prefix + name for prefix in ("", *ANY_METRIC) for name in ("ap", "ap50", "ap75"))
SEGMENTATION = ("frozen_miou", "fine_tuned_miou")
DENSE_PROBE = ("pixel_ap", "iou", "deep_pixel_ap", "deep_iou")
_DIGITS = 4


def measures_by_start(
    folder: Path, starts: Sequence[str], targets: Sequence[str], coco_metric: bool
) -> dict[str, dict[str, Any]]:
    """Metrics of every start.

    Args:
        folder: ``metrics/segins/<data>``.
        starts: Names of the starts.
        targets: Data sets that were transferred to; measures of the second and later ones carry its name.
        coco_metric: Whether detections were scored with COCO's metric: their box measures are then ``coco_…``.

    Returns:
        By start, the measures that are there.
    """
    found: dict[str, dict[str, Any]] = {}
    for start in starts:
        values = _chosen(read_metrics(folder, (), (f"linear_eval-{start}",)), MEASURES)
        for number, target in enumerate(targets):
            boxes = _chosen(read_metrics(folder, (), (f"detection-{start}-{target}",)), DETECTION)
            if coco_metric:
                boxes = {key if key.startswith(ANY_METRIC) else f"coco_{key}": value for key, value in boxes.items()}
            maps = _chosen(read_metrics(folder, (), (f"segmentation-{start}-{target}",)), SEGMENTATION)
            probe = _chosen(read_metrics(folder, (), (f"dense_probe-{start}-{target}",)), DENSE_PROBE)
            maps |= {f"dense_probe_{key}": value for key, value in probe.items()}
            prefix = "" if number == 0 else f"{target}_"
            values |= {prefix + key: value for key, value in (boxes | maps).items()}
        found[start] = values
    return found


def _chosen(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if values.get(key) is not None}


def flat_metrics(measures: Mapping[str, Mapping[str, Any]], methods: Iterable[str]) -> dict[str, Any]:
    """One flat table for ``dvc metrics``: every measure of every start, and what SegIns gains over its baseline.

    Args:
        measures: Metrics by start.
        methods: Pretraining methods.

    Returns:
        ``<start>_<measure>`` and ``<method>_gain_<measure>``, shares rounded to four digits.
    """
    flat = {f"{start}_{key}": value for start, values in measures.items() for key, value in values.items()}
    for method in methods:
        before, after = measures.get(f"{method}-baseline", {}), measures.get(f"{method}-segins", {})
        flat |= {f"{method}_gain_{key}": after[key] - before[key] for key in after if key in before}
    return {key: round(float(value), _DIGITS) for key, value in flat.items()}
