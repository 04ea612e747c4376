"""The page of a SegIns run; in a real browser pictures load, nothing is wider than the window, the switch works."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.experiments.published import load_published
from pipeline_lib.reports.drawing.palettes import class_colour
from pipeline_lib.reports.segins.page import Picture, SegInsFacts, mask_rows, segins_page, tiles
from pipeline_lib.reports.segins.pictures import Instances, classes_tile, instances_tile, write_comparison
from pipeline_lib.reports.segins.pretrainings import pretraining_panels
from pipeline_lib.reports.segins.tables import thesis_tables
from tests.reports.devtools import Browser, chromium

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


MASKS = {
    "source": "contracam",
    "foreground_share": 0.4,
    "pseudo": {"iou_with_masks": 0.2, "iou_with_boxes": 0.3, "corloc": 0.1, "foreground_share": 0.4},
    "control_centre": {"iou_with_masks": 0.15, "iou_with_boxes": 0.25, "corloc": 0.05, "foreground_share": 0.3},
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory, repository):
    folder = tmp_path_factory.mktemp("pictures")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[10:20, 10:30] = 3
    box = np.array([[1, 2, 30, 20]], dtype=np.float32)
    tiles = {
        "random": [instances_tile(image, Instances(box, [0], ["cat 0.9"]))],
        "truth": [classes_tile(image, classes)],
    }
    write_comparison(folder / "detections.png", "Detections", [tiles])
    measures = {"random": {"top1": 0.1, "ap": 0.0}, "moco-baseline": {"top1": 0.2}, "moco-segins": {"top1": 0.3}}
    histories = {"moco-baseline": HISTORY, "moco-segins": HISTORY, "simsiam-baseline": []}
    return SegInsFacts(
        data=HOSTILE,
        network="resnet18, 2 epochs",
        targets=("scenes",),
        tables=tuple(thesis_tables(measures, load_published(repository / "conf" / "published_segins.csv"), {})),
        gains={"moco": {"top1": 0.1, "top5": 0.3}},
        masks={"moco": MASKS},
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


@pytest.mark.slow
def test_page_says_where_labels_made_the_masks(facts):
    assert "No labels are used in pretraining or for the masks" in segins_page(facts)
    true = dataclasses.replace(facts, masks={"moco": MASKS | {"source": "oracle"}})
    assert "The masks of this run are the true ones" in segins_page(true)
    assert "No labels are used" not in segins_page(true)


def test_segmentation_loss_is_of_segins_only(facts):
    (panel,) = (panel for panel in facts.panels if panel.name == "seg-loss")
    assert "moco-segins" in panel.alt
    assert "baseline" not in panel.alt


def test_masks_are_scored_beside_their_controls():
    assert mask_rows({"moco": MASKS}) == [
        ("contracam, MoCo-V2", ["20.0", "30.0", "10.0", "40.0"]),
        ("control: centred ellipse", ["15.0", "25.0", "5.0", "30.0"]),
    ]


def test_masks_without_truth_have_no_scores_and_no_controls():
    assert mask_rows({"moco": {"source": "whole", "foreground_share": 1.0}}) == [
        ("whole, MoCo-V2", ["–", "–", "–", "100.0"])
    ]


def test_headline_is_the_gain_in_the_main_measures():
    assert tiles({"moco": {"top1": 0.1, "top5": 0.3, "ap": -0.012}, "simsiam": {}}) == [
        ("top-1, MoCo-V2", "+10.0"),
        ("AP, MoCo-V2", "-1.2"),
    ]


def test_box_and_classes_are_drawn_where_they_are():
    image = Image.new("RGB", (60, 40), "black")
    box = np.array([[10, 10, 30, 20]], dtype=np.float32)
    tile = np.asarray(instances_tile(image, Instances(box, [0], [""])))
    lit = np.argwhere(tile.sum(axis=2) > 0)
    scale = tile.shape[1] / 60
    np.testing.assert_allclose(lit.min(axis=0), [10 * scale, 10 * scale], atol=2)
    np.testing.assert_allclose(lit.max(axis=0), [20 * scale, 30 * scale], atol=3)
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[10:20, 10:30] = 2
    pixels = np.asarray(classes_tile(image, classes)).astype(int)
    coloured = np.argwhere(np.ptp(pixels, axis=2) > 20)
    np.testing.assert_allclose(coloured.min(axis=0), [10 * scale, 10 * scale], atol=2)


def test_a_mask_is_drawn_in_the_colour_of_its_class_and_a_box_alone_is_empty():
    image = Image.new("RGB", (60, 40), "black")
    box = np.array([[10, 10, 30, 20]], dtype=np.float32)
    mask = np.zeros((40, 60), dtype=bool)
    mask[12:18, 12:28] = True
    with_mask = np.asarray(instances_tile(image, Instances(box, [2], [""], [mask]), 60)).astype(int)
    without = np.asarray(instances_tile(image, Instances(box, [2], [""]), 60)).astype(int)
    assert without[15, 20].tolist() == [0, 0, 0]
    np.testing.assert_allclose(with_mask[15, 20], np.asarray(class_colour(2)) / 2, atol=1)
    assert with_mask[12, 20].tolist() == list(class_colour(2))
    changed = np.argwhere((with_mask != without).any(axis=2))
    assert changed.min(axis=0).tolist() == [12, 12]
    assert changed.max(axis=0).tolist() == [17, 27]


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
