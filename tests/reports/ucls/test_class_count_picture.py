from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline_lib.reports.ucls.class_count import write_class_count_picture

SCORES = ((2, 3, 4, 5, 10), (0.1, 0.5, 0.4, 0.3, 0.2), (0.0, 0.01, 0.02, 0.03, 0.02))
NONE = ((), (), ())


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order of their drawing."""
    figures: list[Figure] = []
    original = Figure.savefig

    def savefig(figure, *args, **kwargs):
        figures.append(figure)
        return original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_scores_are_drawn_with_choice_and_true_number_and_the_same_again(tmp_path, drawn):
    write_class_count_picture(tmp_path / "a.png", 3, *SCORES, 4)
    write_class_count_picture(tmp_path / "b.png", 3, *SCORES, 4)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert picture(tmp_path / "a.png").shape[:2] == (360, 900)
    axes = drawn[0].axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["score (band: ± sd over restarts)", "chosen: 3", "true number by labels: 4"]
    curve, chosen, oracle = axes.get_lines()
    assert np.allclose(curve.get_xydata(), np.transpose(SCORES[:2]))
    assert chosen.get_xydata().tolist() == [[3, 0.5]]
    assert set(oracle.get_xdata()) == {4}


def test_without_labels_no_true_number_is_drawn(tmp_path, drawn):
    write_class_count_picture(tmp_path / "a.png", 3, *SCORES, None)
    assert len(drawn[0].axes[0].get_lines()) == 2


@pytest.mark.parametrize(("oracle", "ending"), [(None, "others."), (9, "The labels have 9.")])
def test_a_given_number_is_said_in_words(tmp_path, drawn, oracle, ending):
    write_class_count_picture(tmp_path / "a.png", 12, *NONE, oracle)
    (text,) = (text.get_text() for text in drawn[0].axes[0].texts)
    assert text.startswith("12 classes: given in params.yaml")
    assert text.endswith(ending)
    assert picture(tmp_path / "a.png").std() > 0
