"""The figures that chapter 6 of the UCLS thesis (2024) prints, its own and those it cites (``conf/published.csv``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.experiments.printed_tables import read_figures

PUBLISHED = Path("conf/published.csv")
COLUMNS = ("table", "dataset", "method", "backbone", "variant", "measure", "value", "sd", "source", "note")


@dataclass(frozen=True)
class Figure:
    """One printed figure.

    Attributes:
        table: Table of the thesis, such as ``6.9``, or ``Figure 6.2`` for what its text says of a figure.
        dataset: Data set, in the thesis' spelling.
        method: Row of the table, without marks and citations.
        backbone: Backbone, in the thesis' spelling; empty where it does not say.
        variant: What was evaluated: ``best_head``, ``overall`` (mean and deviation over the heads), ``ensemble_val``
            (†), ``ensemble_self_trained`` (‡), ``published`` (by others) and a few more.
        measure: ``acc``, ``nmi``, ``ari``, ``nn_acc`` in percent, ``nn_count``, ``train_images`` and others as counts.
        value: As printed.
        sd: Standard deviation as printed; empty where there is none.
        source: ``thesis``, or ``thesis, from [n]`` for a figure that it cites, with its reference number.
        note: Oddities of the printed figure.
    """

    table: str
    dataset: str
    method: str
    backbone: str
    variant: str
    measure: str
    value: str
    sd: str
    source: str
    note: str

    @property
    def text(self) -> str:
        """Value with its deviation, as printed."""
        return f"{self.value} ± {self.sd}" if self.sd else self.value


@dataclass(frozen=True)
class Published:
    """All printed figures, in the order of the file."""

    figures: tuple[Figure, ...]

    def find(
        self, table: str, dataset: str, method: str, variant: str, measure: str, backbones: Iterable[str] = ("",)
    ) -> Figure | None:
        """The figure of one cell of a table.

        Args:
            table: Table of the thesis.
            dataset: Data set.
            method: Row.
            variant: What was evaluated.
            measure: Measure.
            backbones: Backbones in the order in which they are preferred, where the table has several.

        Returns:
            The figure, or ``None`` where the thesis has none.
        """
        wanted = (table, dataset, method, variant, measure)
        cells = [f for f in self.figures if (f.table, f.dataset, f.method, f.variant, f.measure) == wanted]
        order = list(backbones)
        cells.sort(key=lambda f: order.index(f.backbone) if f.backbone in order else len(order))
        return cells[0] if cells else None

    def of_dataset(self, tables: Iterable[str], dataset: str) -> tuple[Figure, ...]:
        """All figures for one data set in some tables."""
        chosen = set(tables)
        return tuple(figure for figure in self.figures if figure.table in chosen and figure.dataset == dataset)

    def datasets(self, table: str) -> tuple[str, ...]:
        """Data sets of a table, in its order."""
        return tuple(dict.fromkeys(figure.dataset for figure in self.figures if figure.table == table))


def load_published(path: Path = PUBLISHED) -> Published:
    """Read the printed figures.

    Args:
        path: A CSV file with the columns ``COLUMNS``.

    Returns:
        The figures.

    Raises:
        MissingFileError: The file is absent.
        UserError: A column is missing, or a value is no number.
    """
    return Published(tuple(Figure(**row) for row in read_figures(path, COLUMNS, ("value", "sd"))))
