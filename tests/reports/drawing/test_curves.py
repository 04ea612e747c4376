import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline_lib.reports.drawing.curves import training_panels
from pipeline_lib.reports.drawing.panels import ACCENT, DPI, FAINT, PANEL_WIDTH, write_panels


def history(epochs, heads):
    return [
        {
            "epoch": e,
            "head_loss": [-e / epochs - h / 100 for h in range(heads)],
            "prior_entropy": 2.3 - 0.1 * e / epochs,
        }
        for e in range(1, epochs + 1)
    ]


def drawn(panel):
    axes = Figure().subplots()
    panel.draw(axes)
    return axes


@pytest.mark.parametrize(("epochs", "heads", "best"), [(1, 3, 2), (1, 1, 0), (40, 1, 0), (40, 16, 15)])
def test_all_heads_are_drawn_and_the_best_stands_out(epochs, heads, best):
    rows = history(epochs, heads)
    lines = drawn(training_panels(rows, best, 10)[0]).lines
    assert [line.get_color() for line in lines] == [FAINT] * (heads - 1) + [ACCENT]
    assert lines[-1].get_ydata().tolist() == [row["head_loss"][best] for row in rows]
    others = {tuple(line.get_ydata()) for line in lines[:-1]}
    assert others == {tuple(row["head_loss"][h] for row in rows) for h in range(heads) if h != best}
    # One epoch makes no line.
    assert (lines[-1].get_marker() == "o") == (epochs == 1)


@pytest.mark.parametrize("entropy", [0.0, 1.0, 2.3])
def test_entropy_panel_starts_at_zero_and_holds_the_uniform_prior(entropy):
    low, high = drawn(training_panels([{**history(1, 2)[0], "prior_entropy": entropy}], 0, 10)[1]).get_ylim()
    assert low == 0
    assert high > np.log(10)


def test_equal_inputs_make_equal_bytes_whatever_the_users_style(tmp_path):
    write_panels(tmp_path / "a.png", training_panels(history(20, 4), 3, 10))
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 50, "axes.facecolor": "red"}):
        write_panels(tmp_path / "b.png", training_panels(history(20, 4), 3, 10))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_no_date_nor_software_in_the_file(tmp_path):
    write_panels(tmp_path / "p.png", training_panels(history(2, 2), 0, 10))
    with Image.open(tmp_path / "p.png") as picture:
        picture.load()
        assert set(picture.info) <= {"dpi"}
        assert picture.width == round(2 * PANEL_WIDTH * DPI)
