"""The page of a SegIns run; in a real browser pictures load, nothing is wider than the window, the switch works."""

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.segins_report.curves import pretraining_panels
from pipeline_lib.segins_report.page import Picture, SegInsFacts, mask_rows, segins_page
from pipeline_lib.segins_report.pictures import Boxes, boxes_tile, classes_tile, write_comparison
from pipeline_lib.segins_report.published import load_published
from pipeline_lib.segins_report.tables import thesis_tables
from tests.report.devtools import Browser, chromium

HOSTILE = "<script>document.title = 'broken'</script>&"
HISTORY = [
    {
        "epoch": epoch,
        "id_loss": 6.0 / epoch,
        "seg_loss": 0.5 / epoch,
        "embedding_std": 0.9,
        "oracle_knn_acc": 0.1 * epoch,
    }
    for epoch in (1, 2, 3)
]


@pytest.fixture(scope="module")
def facts(tmp_path_factory, repository):
    folder = tmp_path_factory.mktemp("pictures")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[10:20, 10:30] = 3
    tiles = {
        "random": [boxes_tile(image, Boxes(np.array([[1, 2, 30, 20]], dtype=np.float32), ("cat 0.9",)), [0])],
        "truth": [classes_tile(image, classes)],
    }
    write_comparison(folder / "detections.png", "Detections", tiles)
    figures = {"random": {"top1": 0.1, "ap": 0.0}, "moco-baseline": {"top1": 0.2}, "moco-segins": {"top1": 0.3}}
    histories = {"moco-baseline": HISTORY, "moco-segins": HISTORY, "simsiam-baseline": []}
    return SegInsFacts(
        data=HOSTILE,
        targets=("scenes",),
        tables=tuple(thesis_tables(figures, load_published(repository / "conf" / "published_segins.csv"), {})),
        gains={"moco": {"top-1": 0.1}},
        masks={"moco": {"source": "contracam", "iou_with_masks": 0.2, "corloc": 0.1, "centre_iou_with_masks": 0.15}},
        collapsed=("simsiam-baseline",),
        panels=pretraining_panels(histories),
        mask_pictures=[],
        transfer_pictures=[Picture(folder / "detections.png", "Detections")],
        origins={
            "moco-baseline": {"stage": "pretrain_baseline", "settings": {"a": {"b": 1}}, "packages": {"torch": "2"}}
        },
    )


def test_page_tells_everything_and_escapes_it(facts):
    page = segins_page(facts)
    assert HOSTILE not in page
    assert page == segins_page(facts)
    for text in ("+10.0", "simsiam-baseline collapsed", "SegIns (MoCo-V2), multi-crop", "control: centred ellipse"):
        assert text in page
    assert page.count("data:image/png;base64,") == 1
    assert len(page) < 1_000_000


def test_segmentation_loss_is_of_segins_only(facts):
    (panel,) = (panel for panel in facts.panels if panel.name == "seg-loss")
    assert "moco-segins" in panel.alt
    assert "baseline" not in panel.alt


def test_controls_without_scores_have_no_row():
    assert [title for title, _ in mask_rows({"moco": {"source": "whole", "corloc": 0.5}})] == ["whole, moco"]


def test_box_and_classes_are_drawn_where_they_are():
    image = Image.new("RGB", (60, 40), "black")
    tile = np.asarray(boxes_tile(image, Boxes(np.array([[10, 10, 30, 20]], dtype=np.float32), ("",)), [0]))
    lit = np.argwhere(tile.sum(axis=2) > 0)
    scale = tile.shape[1] / 60
    np.testing.assert_allclose(lit.min(axis=0), [10 * scale, 10 * scale], atol=2)
    np.testing.assert_allclose(lit.max(axis=0), [20 * scale, 30 * scale], atol=3)
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[10:20, 10:30] = 2
    pixels = np.asarray(classes_tile(image, classes)).astype(int)
    coloured = np.argwhere(np.ptp(pixels, axis=2) > 20)
    np.testing.assert_allclose(coloured.min(axis=0), [10 * scale, 10 * scale], atol=2)


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium is installed (apt-get install chromium)")
def test_page_in_a_browser(facts, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(segins_page(facts), encoding="utf-8")
    browser = Browser(tmp_path / "profile")
    try:
        for width in (1280, 390):
            browser.open(path, width)
            assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
            assert browser.evaluate("document.images.length") == 1
        visible = "[...document.querySelectorAll('tr.published')].filter(row => !row.hidden).length"
        assert browser.evaluate(visible) > 40
        browser.evaluate("document.getElementById('show-published').click()")
        assert browser.evaluate(visible) == 0
        assert browser.problems == []
    finally:
        browser.close()
