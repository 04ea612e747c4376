"""Part ``self_train``: iterations of the grid of linear classifiers at ImageNet's sizes."""

from __future__ import annotations

from benchmarks.generated import GeneratedRows, planted_classes
from benchmarks.measuring import Part
from pipeline_lib.features.blocks import ArrayFeatures
from pipeline_lib.ucls.probe.features import feature_input
from pipeline_lib.ucls.probe.settings import GridSettings
from pipeline_lib.ucls.probe.training import train_linear_grid

THESIS_ITERATIONS = 12_500


def run(part: Part) -> None:
    """Two short trainings of different length: their difference is iterations alone."""
    count, columns, classes, short, long = (400, 16, 4, 5, 20) if part.tiny else (20_000, 2048, 1000, 50, 550)
    rows = GeneratedRows(columns, classes, part.device)
    labels = planted_classes(count, classes, 0)
    features = ArrayFeatures(rows.rows(labels, 0).cpu().numpy())
    inputs = [feature_input(("features",), {"features": (0, columns)})]
    seconds = {}
    part.reset_peak()
    for iterations in (short, short, long):
        settings = GridSettings(iterations=iterations)
        seconds[iterations] = part.seconds(
            lambda settings=settings: train_linear_grid(  # type: ignore[misc]
                features, inputs, labels, classes, settings, device=part.device, memory_budget=8 << 30
            )
        )
    one = (seconds[long] - seconds[short]) / (long - short)
    settings = GridSettings()
    part.row(
        f"{len(settings.rates)} rates, D {columns}, K {classes}, batch {settings.batch_size}",
        iterations_a_second=1 / one,
        extrapolated_seconds=one * THESIS_ITERATIONS,
        **part.peaks(),
    )
