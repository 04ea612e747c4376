import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline_lib.reports.ucls.sizes import MOST_BARS, size_panel


@pytest.mark.parametrize("count", [2, MOST_BARS, MOST_BARS + 1, 1000])
def test_all_sizes_are_drawn_largest_first_against_the_uniform_one(count):
    sizes = np.random.default_rng(0).integers(0, 50, count)
    panel = size_panel(sizes, [f"cluster {number}" for number in range(count)])
    axes = Figure().subplots()
    panel.draw(axes)
    if count > MOST_BARS:
        drawn = axes.patches[0].get_data().values
        uniform = axes.lines[0].get_ydata()[0]
    else:
        drawn = [bar.get_width() for bar in axes.patches]
        uniform = axes.lines[0].get_xdata()[0]
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [f"cluster {number}" for number in np.argsort(-sizes, kind="stable")]
    assert list(drawn) == sorted(sizes, reverse=True)
    assert uniform == pytest.approx(sizes.mean())
    assert f"{(sizes == 0).sum()} empty" in panel.alt
