import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline_lib.experiments.pictures import write_picture
from pipeline_lib.experiments.results import RowResult, RunResults
from pipeline_lib.experiments.rows import Row
from pipeline_lib.reports.drawing import panels


def threshold_row(threshold, accuracy):
    key = f"similarity.oracle_accuracy_above_{threshold}"
    values = {"ucls.best_head_acc": accuracy, key: 0.9, "knn.neighbors_mean": 20.0}
    values |= {"ucls.heads_mean_acc": accuracy, "ucls.heads_sd_acc": 0.01}
    sizes = {"cluster_use.train_sizes": [30, 10], "cluster_use.val_sizes": [5, 5]}
    return RowResult(Row(name=str(threshold)), {"knn.threshold": threshold}, {0: values | sizes})


@pytest.fixture
def results():
    return RunResults("digits", [threshold_row(0.5, 0.8), threshold_row(0.1, 0.6)], "pixels")


@pytest.fixture
def drawn(monkeypatch):
    """The axes of what was drawn last."""
    kept = []

    class Kept(Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            kept[:] = [self]

    monkeypatch.setattr(panels, "Figure", Kept)
    return lambda: kept[0].axes


@pytest.mark.parametrize("kind", ["cluster_use", "threshold", "neighbor_accuracy", "steps"])
def test_pictures_are_the_same_again_whatever_the_readers_style(tmp_path, results, lookup, kind):
    path = tmp_path / "a.png"
    assert write_picture(path, kind, [results], lookup.definitions.groups)
    first = path.read_bytes()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        write_picture(path, kind, [results], lookup.definitions.groups)
    assert path.read_bytes() == first
    image = Image.open(io.BytesIO(first))
    assert image.width == 900
    assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_lines_go_through_the_values_by_growing_threshold(tmp_path, results, lookup, drawn):
    write_picture(tmp_path / "a.png", "threshold", [results], lookup.definitions.groups)
    accuracy, neighbors, lengths = drawn()
    best = next(line for line in accuracy.lines if line.get_label() == "Best head")
    np.testing.assert_allclose(best.get_xydata(), [[0.1, 60], [0.5, 80]])
    np.testing.assert_allclose(neighbors.lines[0].get_xydata(), [[0.1, 90], [0.5, 90]])
    np.testing.assert_allclose(lengths.lines[0].get_xydata(), [[0.1, 20], [0.5, 20]])


def test_cluster_sizes_are_sorted_beside_the_uniform_level(tmp_path, results, lookup, drawn):
    write_picture(tmp_path / "a.png", "cluster_use", [results], lookup.definitions.groups)
    train = drawn()[0]
    np.testing.assert_allclose(train.patches[0].get_data().values, [30, 10])
    assert train.lines[0].get_ydata()[0] == 20


def test_nothing_is_written_where_there_is_nothing_to_draw(tmp_path, lookup):
    empty = RunResults("digits", [RowResult(Row(name="a"))], "pixels")
    for kind in ("cluster_use", "threshold", "neighbor_accuracy", "steps"):
        assert not write_picture(tmp_path / "a.png", kind, [empty], lookup.definitions.groups)
    assert not list(tmp_path.iterdir())
