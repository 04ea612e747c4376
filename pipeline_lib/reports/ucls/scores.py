"""The headline measures of a run: which there are, what to call them, and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes

from pipeline_lib.reports.drawing.panels import ACCENT, EDGE, FAINT, MUTED, PAPER, Panel

MEASURES = ("acc", "nmi", "ari")

Kind = Literal["rival", "method", "bound"]

_ROWS: tuple[tuple[str, str, Kind, str], ...] = (
    ("kmeans", "k-means", "rival", "on the same features"),
    ("umap_kmeans", "UMAP + k-means", "rival", "on the same features"),
    ("turtle", "TURTLE", "rival", "on the same features"),
    ("best_head", "best head", "method", "lowest training loss"),
    ("heads_mean", "heads, mean", "method", "± standard deviation over the heads"),
    ("ensemble", "ensemble †", "method", "consensus of the heads on these images"),
    ("self_trained", "self-trained ‡", "method", "linear classifier that never saw these images"),
    ("oracle_self_trained", "‡, best by labels", "bound", "the setting that true labels of these images prefer"),
    ("upper_bound_knn", "k-NN", "bound", "upper bound, true labels of the training images"),
    ("upper_bound_neighbors_best_head", "true neighbours", "bound", "upper bound, best head on true neighbours"),
    ("upper_bound_linear_probe", "linear probe", "bound", "upper bound, true labels of the training images"),
)
_LABEL_FREE: tuple[tuple[str, str, str], ...] = (
    ("ensemble_anmi", "ensemble †: average NMI", "with the heads, 0 to 1"),
    ("ensemble_agreement", "ensemble †: agreement", "share of images on which a head agrees after matching"),
    ("self_trained_anmi", "self-trained ‡: average NMI", "with the heads, 0 to 1"),
    ("heads_pairwise_nmi", "heads: pairwise NMI", "mean over all pairs of heads, 0 to 1"),
    ("self_trained_silhouette", "self-trained ‡: silhouette", "cosine distance, −1 to 1"),
    ("kmeans_silhouette", "k-means: silhouette", "cosine distance, −1 to 1"),
    ("self_trained_kl_to_uniform", "self-trained ‡: KL to uniform", "nats; 0 where all clusters are alike in size"),
    ("self_trained_empty_clusters", "self-trained ‡: empty clusters", "number"),
)
_CHARTED = 6
"""So many of the first label-free measures have no other range than −1 to 1 and go into the chart."""


@dataclass(frozen=True)
class ScoreRow:
    """A labelled measure.

    Attributes:
        title: What it is the score of.
        kind: ``rival``, ``method`` (a part of UCLS) or ``bound`` (it was shown true labels).
        note: How it came about.
        acc: Clustering accuracy, [0, 1], or the accuracy of a classifier that bounds it.
        nmi: NMI, or None where there is none.
        ari: ARI, or None.
        sd: Standard deviation of the accuracy over the heads, or None.
    """

    title: str
    kind: Kind
    note: str
    acc: float
    nmi: float | None
    ari: float | None
    sd: float | None


@dataclass(frozen=True)
class LabelFreeRow:
    """A measure that needs no labels: what it is, how to read it, its value, and whether the chart has it."""

    title: str
    note: str
    value: float
    charted: bool


def score_rows(measures: Mapping[str, Any]) -> list[ScoreRow]:
    """The labelled measures that exist, baselines first and bounds last; none where there are no labels.

    Args:
        measures: Metrics of the run by name: ``<name>_acc``, ``_nmi``, ``_ari``, ``heads_sd_acc``.
    """
    return [
        ScoreRow(
            title,
            kind,
            note,
            acc=measures[f"{name}_acc"],
            nmi=measures.get(f"{name}_nmi"),
            ari=measures.get(f"{name}_ari"),
            sd=measures.get("heads_sd_acc") if name == "heads_mean" else None,
        )
        for name, title, kind, note in _ROWS
        if measures.get(f"{name}_acc") is not None
    ]


def label_free_rows(measures: Mapping[str, Any]) -> list[LabelFreeRow]:
    """The measures that need no labels, as far as they exist.

    Args:
        measures: Metrics of the run by name.
    """
    return [
        LabelFreeRow(title, note, measures[name], place < _CHARTED)
        for place, (name, title, note) in enumerate(_LABEL_FREE)
        if measures.get(name) is not None
    ]


def score_panel(scores: Sequence[ScoreRow], label_free: Sequence[LabelFreeRow]) -> Panel:
    """A chart of the accuracies; of the label-free measures where there are none.

    Raises:
        ValueError: Both are empty.
    """
    if scores:
        words = ", ".join(f"{row.title} {row.acc:.3f}" for row in scores)
        height = 0.9 + 0.3 * len(scores)
        return Panel("scores", lambda axes: _draw_scores(axes, scores), f"ACC: {words}.", height=height)
    charted = [row for row in label_free if row.charted]
    if not charted:
        raise ValueError("no measure of the run can be drawn; expected self_trained_acc or ensemble_anmi among them")
    words = ", ".join(f"{row.title} {row.value:.3f}" for row in charted)
    height = 0.9 + 0.3 * len(charted)
    return Panel("scores", lambda axes: _draw_label_free(axes, charted), f"Without labels: {words}.", height=height)


def _draw_scores(axes: Axes, rows: Sequence[ScoreRow]) -> None:
    colours = {"rival": EDGE, "method": ACCENT, "bound": PAPER}
    for place, row in enumerate(rows):
        axes.hlines(place, 0, row.acc, color=FAINT, linewidth=1)
        if row.sd:
            axes.errorbar(row.acc, place, xerr=row.sd, color=ACCENT, capsize=3, linewidth=1.3)
        edge = MUTED if row.kind == "bound" else colours[row.kind]
        axes.plot(
            row.acc, place, "o", markersize=7, markerfacecolor=colours[row.kind], markeredgecolor=edge, clip_on=False
        )
        _write_value(axes, place, f"{row.acc:.3f}")
    _finish(axes, [row.title for row in rows])
    axes.set(title="ACC (hollow: upper bounds)", xlim=(0, 1))


def _draw_label_free(axes: Axes, rows: Sequence[LabelFreeRow]) -> None:
    for place, row in enumerate(rows):
        axes.hlines(place, 0, row.value, color=FAINT, linewidth=1)
        axes.plot(row.value, place, "o", markersize=7, color=ACCENT, clip_on=False)
        _write_value(axes, place, f"{row.value:.3f}")
    _finish(axes, [row.title for row in rows])
    axes.set(title="Measures without labels", xlim=(min(0.0, *(row.value for row in rows)), 1))


def _write_value(axes: Axes, place: int, text: str) -> None:
    axes.annotate(text, (1, place), (9, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center")


def _finish(axes: Axes, titles: Sequence[str]) -> None:
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
