import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline_lib.reports.ucls.neighbor_panels import bin_edges, neighbor_panels

LENGTHS = np.random.default_rng(0).integers(5, 60, 500)


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (14, 14), (5, 8), (1, 40), (1, 41), (14, 143), (50, 1300)])
def test_bins_are_equally_wide_and_hold_every_length(shortest, longest):
    edges = bin_edges(shortest, longest)
    lengths = np.arange(shortest, longest + 1)
    counts, _ = np.histogram(lengths, edges)
    assert counts.sum() == len(lengths)
    assert len(counts) <= 40
    assert len(set(counts[:-1].tolist())) <= 1
    assert 1 <= counts[-1] <= counts[0]


def test_accuracy_is_drawn_where_there_are_pairs():
    inside, above = [None, 0.1, *[0.5] * 7, None], [0.4, 0.4, *[0.6] * 7, None]
    accuracy = {"from": [n / 10 for n in range(10)], "oracle_accuracy": inside, "oracle_accuracy_above": above}
    panels = neighbor_panels(LENGTHS, 0.3, accuracy)
    assert [panel.name for panel in panels] == ["nn-accuracy", "lengths"]
    axes = Figure().subplots()
    panels[0].draw(axes)
    line, threshold = axes.lines
    assert [None if np.isnan(y) else y for y in line.get_ydata()] == above
    assert threshold.get_xdata()[0] == 0.3
    heights = [None if np.isnan(bar.get_height()) else bar.get_height() for bar in axes.patches]
    assert heights == inside


def test_without_labels_there_are_lengths_only():
    (panel,) = neighbor_panels(LENGTHS, 0.3, None)
    axes = Figure().subplots()
    panel.draw(axes)
    assert axes.patches[0].get_data().values.sum() == 500
