import matplotlib
import numpy as np
import pytest
from PIL import Image

from pipeline_lib.report import curves
from pipeline_lib.report.curves import WIDTH, write_training_curves

LENGTHS = np.random.default_rng(0).integers(5, 60, 500)


def history(epochs, heads):
    return [
        {
            "epoch": e,
            "head_loss": [-e / epochs - h / 100 for h in range(heads)],
            "prior_entropy": 2.3 - 0.1 * e / epochs,
        }
        for e in range(1, epochs + 1)
    ]


def purple_pixels(path):
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), dtype=int), 2, 0)
    return int((np.minimum(red, blue) - green > 40).sum())


@pytest.mark.parametrize(("epochs", "heads", "best"), [(1, 3, 2), (1, 1, 0), (40, 1, 0), (40, 16, 15)])
def test_picture_shows_the_best_head_and_the_others(tmp_path, monkeypatch, epochs, heads, best):
    lists = np.full(3, 5)
    path = tmp_path / "p.png"
    write_training_curves(path, history(epochs, heads), best, 10, lists)
    assert Image.open(path).width == WIDTH
    assert path.stat().st_size < 200_000
    assert purple_pixels(path) == 0
    monkeypatch.setattr(curves, "_draw_prior_entropy", lambda axes, *_: axes.set_visible(False))
    monkeypatch.setattr(curves, "_FAINT", "#ff00ff")
    write_training_curves(path, history(epochs, heads), best, 10, lists)
    assert (purple_pixels(path) > 0) == (heads > 1)
    monkeypatch.setattr(curves, "_FAINT", "#b5b5b5")
    monkeypatch.setattr(curves, "_draw_list_lengths", lambda axes, *_: axes.set_visible(False))
    monkeypatch.setattr(curves, "_ACCENT", "#ff00ff")
    write_training_curves(path, history(epochs, heads), best, 10, lists)
    assert purple_pixels(path) > 20


@pytest.mark.parametrize("entropy", [0.0, 1.0, 2.3])
def test_entropy_panel_starts_at_zero_and_holds_the_uniform_prior(tmp_path, monkeypatch, entropy):
    seen = []
    draw = curves._draw_prior_entropy
    monkeypatch.setattr(curves, "_draw_prior_entropy", lambda axes, *rest: (seen.append(axes), draw(axes, *rest)))
    write_training_curves(tmp_path / "p.png", [{**history(1, 2)[0], "prior_entropy": entropy}], 0, 10, LENGTHS)
    low, high = seen[0].get_ylim()
    assert low == 0
    assert high > np.log(10)


def test_equal_inputs_make_equal_bytes_whatever_the_users_style(tmp_path):
    write_training_curves(tmp_path / "a.png", history(20, 4), 3, 10, LENGTHS)
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 50, "axes.facecolor": "red"}):
        write_training_curves(tmp_path / "b.png", history(20, 4), 3, 10, LENGTHS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_no_date_nor_software_in_the_file(tmp_path):
    write_training_curves(tmp_path / "p.png", history(2, 2), 0, 10, LENGTHS)
    with Image.open(tmp_path / "p.png") as picture:
        picture.load()
        assert set(picture.info) <= {"dpi"}


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (14, 14), (5, 8), (1, 40), (1, 41), (14, 143), (50, 1300)])
def test_bins_are_equally_wide_and_hold_every_length(shortest, longest):
    edges = curves._bin_edges(shortest, longest)
    lengths = np.arange(shortest, longest + 1)
    counts, _ = np.histogram(lengths, edges)
    assert counts.sum() == len(lengths)
    assert len(counts) <= 40
    assert len(set(counts[:-1].tolist())) <= 1
    assert 1 <= counts[-1] <= counts[0]
