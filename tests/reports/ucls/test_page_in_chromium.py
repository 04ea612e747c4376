"""The page in a real browser: nothing fails, all pictures load, the filters work, nothing is wider than the window."""

import pytest

from pipeline_lib.reports.ucls.page import run_page
from pipeline_lib.reports.ucls.run_panels import run_panels
from tests.reports.devtools import Browser, chromium

HOSTILE = "<script>document.title = 'broken'</script>&\"'"
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed (apt-get install chromium)"),
]
SHOWN = (
    "[...document.querySelectorAll('article.cluster')].filter(card => !card.hidden).map(card => card.dataset.cluster)"
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOADED = "[document.images.length, [...document.images].filter(image => image.naturalWidth > 0).length]"


def choose(control: str, value: str) -> str:
    """Script that sets a control as a reader does."""
    return (
        f"(() => {{ const control = document.getElementById('{control}'); control.value = '{value}';"
        " control.dispatchEvent(new Event('input', {bubbles: true}));"
        " control.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(make_facts, tmp_path_factory):
    facts = make_facts(
        images=300,
        count=12,
        empty=True,
        names=tuple(f"{HOSTILE} a rather long name of class {number}" for number in range(12)),
        image_name=lambda row: f"{HOSTILE}/folder/{'very_long_name' * 6}{row}.png",
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(run_page(facts, run_panels(facts)), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_loads_without_errors_and_fits_the_window(browser, page, width, scheme):
    browser.problems.clear()
    browser.open(page, width, scheme=scheme)
    images, loaded = browser.evaluate(LOADED)
    assert images == loaded
    assert images > 300
    assert browser.evaluate(OVERFLOW) <= 0
    assert browser.evaluate("document.title").startswith("things-pixels")
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    assert browser.problems == []


@pytest.mark.parametrize("width", WIDTHS)
def test_text_and_pictures_are_large_enough_to_read(browser, page, width):
    browser.open(page, width)
    smallest = (
        "Math.min(...[...document.querySelectorAll('svg.panel text')].map(t => t.getBoundingClientRect().height))"
    )
    assert browser.evaluate(smallest) > 9
    controls = "[...document.querySelectorAll('form.controls select')].map(c => c.getBoundingClientRect().height)"
    assert min(browser.evaluate(controls)) >= 36


def test_filters_choose_clusters_and_galleries(browser, page):
    browser.problems.clear()
    browser.open(page, 1280)
    everything = [str(number) for number in range(12)]
    assert browser.evaluate(SHOWN) == everything
    browser.evaluate(choose("choose-cluster", "3"))
    assert browser.evaluate(SHOWN) == ["3"]
    assert browser.evaluate("document.getElementById('shown').value") == "1 of 12 clusters"
    dimmed = "[...document.querySelectorAll('#figure-map [data-cluster]')].filter(g => !g.classList.contains('dim'))"
    assert browser.evaluate(f"{dimmed}.map(group => group.dataset.cluster)") == ["3"]
    browser.evaluate(choose("choose-cluster", ""))
    assert browser.evaluate(SHOWN) == everything
    galleries = "[...document.querySelectorAll('section.gallery')].filter(gallery => !gallery.hidden)"
    kinds = f"[...new Set({galleries}.map(gallery => gallery.dataset.kind))]"
    assert browser.evaluate(kinds) == ["most", "least", "disputed"]
    browser.evaluate(choose("choose-kind", "disputed"))
    assert browser.evaluate(kinds) == ["disputed"]
    assert browser.problems == []


def test_search_finds_numbers_names_and_images(browser, page):
    browser.open(page, 1280)
    browser.evaluate(choose("search", "7"))
    assert browser.evaluate(SHOWN) == ["7"]
    browser.evaluate(choose("search", "of class 4"))
    found = browser.evaluate(SHOWN)
    assert 0 < len(found) < 12
    browser.evaluate(choose("search", "no such thing"))
    assert browser.evaluate(SHOWN) == []
    browser.evaluate(choose("search", ""))
    assert len(browser.evaluate(SHOWN)) == 12


@pytest.mark.parametrize(
    ("order", "value", "sign"),
    [("largest", "size", -1), ("smallest", "size", 1), ("unsure", "probability", 1), ("disputed", "agreement", 1)],
)
def test_clusters_are_sorted(browser, page, order, value, sign):
    browser.open(page, 1280)
    browser.evaluate(choose("choose-order", order))
    values = browser.evaluate(
        f"[...document.querySelectorAll('article.cluster')].map(card => Number(card.dataset.{value}))"
    )
    assert values == sorted(values, key=lambda number: sign * number)
    assert len(set(values)) > 1
    browser.evaluate(choose("choose-order", "number"))
    assert browser.evaluate(SHOWN) == [str(number) for number in range(12)]


@pytest.mark.parametrize("width", WIDTHS)
def test_without_scripts_everything_is_visible_and_no_control_is_dead(browser, page, width):
    browser.open(page, width, script=False)
    # Scripts of the page are off; the protocol still evaluates.
    hidden = "[...document.querySelectorAll('[hidden]')].map(element => element.tagName)"
    assert browser.evaluate(hidden) == ["FORM", "FORM"]
    assert len(browser.evaluate(SHOWN)) == 12
    assert browser.evaluate(OVERFLOW) <= 0


def test_a_link_to_a_hidden_cluster_shows_it(browser, page):
    browser.open(page, 1280)
    browser.evaluate(choose("choose-cluster", "3"))
    browser.evaluate(
        "new Promise(done => { addEventListener('hashchange', () => setTimeout(done)); location.hash = 'cluster-5'; })"
    )
    assert "5" in browser.evaluate(SHOWN)


def test_these_checks_notice_what_is_wrong(browser, tmp_path):
    path = tmp_path / "wrong.html"
    path.write_text(
        "<!doctype html><p style='width: 2000px'>wide<img src='data:image/png;base64,AAAA'>"
        "<img src='http://localhost:9/a.png'><script>console.error('told'); throw new Error('thrown')</script>"
    )
    browser.problems.clear()
    browser.open(path, 1280)
    images, loaded = browser.evaluate(LOADED)
    assert (images, loaded) == (2, 0)
    assert browser.evaluate(OVERFLOW) > 0
    for expected in ("told", "thrown", "localhost"):
        assert any(expected in problem for problem in browser.problems)
    browser.problems.clear()


def test_without_labels_the_page_is_whole_too(browser, make_facts, tmp_path):
    facts = make_facts(labels=False, side=8)
    path = tmp_path / "report.html"
    path.write_text(run_page(facts, run_panels(facts)), encoding="utf-8")
    browser.problems.clear()
    for width in WIDTHS:
        browser.open(path, width)
        images, loaded = browser.evaluate(LOADED)
        assert images == loaded > 0
        assert browser.evaluate(OVERFLOW) <= 0
    assert browser.problems == []
