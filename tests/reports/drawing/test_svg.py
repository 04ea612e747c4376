import html
import re
from xml.etree import ElementTree

import numpy as np

from pipeline_lib.reports.drawing.palettes import cluster_colours
from pipeline_lib.reports.drawing.panels import ACCENT, INK, THEME, Panel
from pipeline_lib.reports.drawing.svg import inline_svg


def panel(name: str) -> Panel:
    def draw(axes):
        axes.plot([0, 1], [0, 2], "o", color=ACCENT, gid="cluster-7")
        axes.plot([0, 1], [1, 1], color="#123456", gid="cluster-x")
        axes.set_title("1 < 2 & 3")

    return Panel(name, draw, "alt")


def parsed(name: str):
    text = inline_svg(panel(name), html.escape('a "quoted" <title>'))
    return text, ElementTree.fromstring(text.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


def test_svg_is_well_formed_and_says_what_it_is():
    text, root = parsed("a")
    assert root.attrib["aria-label"] == 'a "quoted" <title>'
    assert root.attrib["role"] == "img"
    assert "1 < 2 & 3" in "".join(root.itertext())
    assert "metadata" not in text


def test_theme_colours_become_variables_and_others_stay():
    text, _ = parsed("a")
    assert f"var(--accent, {ACCENT})" in text
    assert f"var(--ink, {INK})" in text
    bare = re.sub(r"var\([^)]*\)", "", text)
    assert not any(colour in bare.lower() for colour in THEME)
    assert "#123456" in bare


def test_identifiers_are_those_that_are_referred_to_and_the_panels_own():
    texts = {name: parsed(name)[0] for name in ("a", "b")}
    ids = {name: set(re.findall(r' id="([^"]*)"', text)) for name, text in texts.items()}
    assert ids["a"]
    assert not ids["a"] & ids["b"]
    for name, text in texts.items():
        assert set(re.findall(r'xlink:href="#([^"]*)"|url\(#([^)]*)\)', text)) != set()
        referred = {a or b for a, b in re.findall(r'xlink:href="#([^"]*)"|url\(#([^)]*)\)', text)}
        assert referred == ids[name]


def test_groups_of_clusters_are_named_for_the_script():
    _, root = parsed("a")
    named = [element for element in root.iter() if "data-cluster" in element.attrib]
    assert [element.attrib["data-cluster"] for element in named] == ["7"]


def test_equal_panels_make_equal_text():
    assert parsed("a")[0] == parsed("a")[0]


def test_colours_differ():
    for count in (1, 10, 11, 200):
        colours = cluster_colours(count)
        assert len(set(colours)) == count
        assert not set(colours) & set(THEME)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
        levels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]).mean(axis=1)
        assert (levels > 70).all()
        assert (levels < 200).all()
