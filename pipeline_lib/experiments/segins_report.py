"""The report of an experiment set of the SegIns chain: one Markdown and one CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import write_atomically
from pipeline_lib.experiments.segins_definitions import ExperimentSet
from pipeline_lib.experiments.segins_published import Figure
from pipeline_lib.experiments.segins_results import RowResult, lines, remarks
from pipeline_lib.experiments.segins_tables import table_markdown, tables_csv


@dataclass(frozen=True)
class Facts:
    """What all runs of a set have in common.

    Attributes:
        data: Data set of the pretraining.
        target: Data set transferred to.
        architecture: ResNet.
        epochs: Epochs of the pretraining.
        multi_crop: Whether it uses local crops.
        detection_metric: ``detection.metric``.
        seeds: Number of seeds.
        settings: What differs from ``params.yaml`` in all rows.
    """

    data: str
    target: str
    architecture: str
    epochs: int
    multi_crop: bool
    detection_metric: str
    seeds: int
    settings: Mapping[str, Any]


def write_report(
    path: Path,
    experiments: ExperimentSet,
    results: Sequence[RowResult],
    figures: Sequence[Figure],
    facts: Facts,
    gaps: Mapping[str, str],
) -> str:
    """Write ``PATH.md`` and ``PATH.csv``.

    Args:
        path: The files, without their endings.
        experiments: The set.
        results: Its rows, as far as they have run.
        figures: What the thesis prints.
        facts: What all runs have in common.
        gaps: Rows that are left out, with the reason.

    Returns:
        The tables as Markdown.
    """
    found = [
        (table, lines(table, results, figures, facts.multi_crop, facts.detection_metric))
        for table in experiments.tables
    ]
    tables = [(table, rows) for table, rows in found if rows]
    text = [table_markdown(table, rows) for table, rows in tables]
    notes = [f"{note}\n" for note in (experiments.note, *remarks(results, facts.seeds, gaps)) if note]
    head = [f"# {experiments.title}: {facts.data}", "", *_explained(facts), ""]
    write_atomically(path.with_name(f"{path.name}.md"), "\n".join([*head, *text, *notes]).rstrip() + "\n")
    write_atomically(path.with_name(f"{path.name}.csv"), tables_csv(tables))
    return "\n".join([*text, *notes])


def _explained(facts: Facts) -> list[str]:
    crops = "multi-crop" if facts.multi_crop else "two crops"
    epochs = f"{facts.epochs} epoch{'' if facts.epochs == 1 else 's'}"
    said = [f"{facts.architecture}, {epochs} on {facts.data}, {crops}; transfer to {facts.target}, val split."]
    if facts.seeds > 1:
        said.append(
            f"Mean ± sample standard deviation (n − 1) over {facts.seeds} seeds of weights, order and crops in all "
            "stages; the images stay the same. Gains are paired by seed; in brackets, in how many seeds they are above "
            "zero."
        )
    else:
        said.append("One seed: a difference between two rows may be chance.")
    said.append("The thesis' figures are of ResNet-50 on ImageNet-100, PASCAL VOC and COCO, 500 epochs.")
    if facts.settings:
        said.append("Set for all rows: " + ", ".join(f"`{key}={value}`" for key, value in facts.settings.items()) + ".")
    return said
