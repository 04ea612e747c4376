import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.reports.ucls.page import LARGEST_PAGE, run_page
from pipeline_lib.reports.ucls.run_panels import run_panels, write_pictures

HOSTILE = "<script>alert('x')</script>&\"$1$"
PICTURES = {f"{name}.png" for name in ("scores", "sizes", "training", "neighbors", "confusion", "map")}
VOID = {"meta", "link", "img", "input"}


class Reader(HTMLParser):
    """Collects what a browser would see, and checks that elements are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text, self.ids, self.sources, self.alts = [], [], [], [], []
        self.cards: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self._note(tag, values)
        if tag not in VOID and tag not in ("option", "li"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._note(tag, dict(attrs))

    def _note(self, tag, values):
        self.ids += [values["id"]] if "id" in values else []
        self.sources += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        if tag == "img":
            self.alts.append(values["alt"])
        if tag == "article":
            self.cards.append(values["data-cluster"])

    def handle_endtag(self, tag):
        if tag not in ("option", "li"):
            assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page_of(facts, **limits) -> str:
    return run_page(facts, run_panels(facts), **limits)


def test_page_holds_everything_and_refers_to_nothing_outside(make_facts):
    read = Reader(page_of(make_facts()))
    for expected in (
        "UMAP + k-means",
        "TURTLE",
        "linear probe",
        "0.900",
        "± 0.050",
        "matched with class 1",
        "warm.share",
        "torch",
    ):
        assert expected in read.words
    assert read.cards == ["0", "1", "2", "3"]
    assert len(read.ids) == len(set(read.ids))
    assert read.sources
    assert all(source.startswith(("data:", "#")) for source in read.sources)
    targets = [source[1:] for source in read.sources if source.startswith("#")]
    assert set(targets) <= set(read.ids)
    assert read.tags.count("script") == 1
    assert all("image " in alt and "probability" in alt for alt in read.alts)


def test_only_measures_that_exist_are_shown(make_facts):
    measures = {"self_trained_acc": 0.5, "self_trained_nmi": 0.4, "self_trained_ari": 0.3}
    words = Reader(page_of(make_facts(measures=measures))).words
    assert "self-trained ‡" in words
    for absent in ("UMAP", "TURTLE", "k-NN", "true neighbours", "k-means", "silhouette", "without labels value"):
        assert absent not in words


def test_without_labels_nothing_speaks_of_classes(make_facts):
    page = page_of(make_facts(labels=False))
    read = Reader(page)
    assert "No labels are known" in read.words
    assert "0.810" in read.words
    for absent in ("matched with", "ACC", "Confusion", "same class", "marked corner"):
        assert absent not in read.words
    assert 'class="other"' not in page


def test_images_of_another_class_are_marked(make_facts):
    facts = make_facts(images=12, count=2)
    matched = facts.oracle_confusion.class_of()
    wrong = {row for row in range(12) if facts.oracle.labels[row] != matched[int(facts.clusters[row])]}
    page = page_of(facts)
    marked = re.findall(r'<li class="other"><img src="[^"]*" alt="image (\d+) ', page)
    assert wrong
    assert {int(row) for row in marked} == wrong


def test_empty_cluster_has_a_card_that_says_so(make_facts):
    page = page_of(make_facts(empty=True))
    card = page[page.index('id="cluster-3"') :]
    card = card[: card.index("</article>")]
    assert "0 images (0.0 %)" in " ".join(card.split())
    assert card.count("no images") == 3
    assert "<img" not in card


def test_all_text_is_escaped(make_facts):
    facts = make_facts(
        data=HOSTILE,
        backbone=HOSTILE,
        names=tuple(f"{HOSTILE}{number}" for number in range(4)),
        cluster_names=[f"{HOSTILE}{number}" for number in range(4)],
        image_name=lambda row: f"{HOSTILE}/{row}.png",
        origins={HOSTILE: {"stage": HOSTILE, "settings": {HOSTILE: HOSTILE}, "packages": {HOSTILE: HOSTILE}}},
    )
    page = page_of(facts)
    read = Reader(page)
    assert page.count("<script>") == 1
    assert "alert" not in re.search(r"<script>.*?</script>", page, re.DOTALL)[0]
    assert read.tags.count("script") == 1
    assert read.alts[0].startswith(HOSTILE)
    assert f"matched with {HOSTILE}" in read.words


@pytest.mark.slow
def test_the_policy_allows_the_pages_own_script_only(make_facts):
    page = page_of(make_facts())
    code = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.slow
def test_equal_inputs_make_equal_bytes(make_facts, tmp_path):
    pages = []
    for name in ("a", "b"):
        facts = make_facts()
        panels = run_panels(facts)
        write_pictures(tmp_path / name, panels)
        pages.append(run_page(facts, panels))
    assert pages[0] == pages[1]
    for picture in PICTURES:
        assert (tmp_path / "a" / picture).read_bytes() == (tmp_path / "b" / picture).read_bytes()


@pytest.mark.parametrize("labels", [True, False])
def test_pictures_are_there_with_and_without_labels(make_facts, tmp_path, labels):
    write_pictures(tmp_path, run_panels(make_facts(labels=labels)))
    assert {path.name for path in tmp_path.iterdir()} == PICTURES


@pytest.mark.slow
def test_thumbnails_shrink_until_the_page_fits_and_the_page_says_so(make_facts):
    facts = make_facts(side=128)
    full = page_of(facts)
    assert "to keep the page below" not in full
    limit = int(len(full.encode()) * 0.6)
    smaller = page_of(facts, limit=limit)
    assert len(smaller.encode()) < limit
    assert re.search(r"Thumbnails are reduced to \d+ pixels", smaller)
    assert smaller.count("<img") == full.count("<img")
    none = page_of(facts, limit=1000)
    assert "Thumbnails are left out" in none
    assert "<img" not in none
    assert "image 0" in none


@pytest.mark.slow
def test_a_thousand_clusters_stay_below_the_limit(make_facts):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    shown = Image.fromarray(noise)
    facts = make_facts(images=5000, count=1000, read=lambda _: shown)
    page = page_of(facts)
    assert len(page.encode()) < LARGEST_PAGE
    assert len(Reader(page).cards) == 1000
    # Noise at the first quality would be too large: the limit is what is tested here.
    assert "Thumbnails are reduced" in page
    assert "Up to 1 image a gallery" in " ".join(page.split())


def test_more_clusters_than_can_be_shown_are_counted(make_facts, monkeypatch):
    monkeypatch.setattr("pipeline_lib.reports.ucls.galleries.choose_galleries.__defaults__", (3,))
    read = Reader(page_of(make_facts(empty=True)))
    assert read.cards == ["0", "1", "2"]
    assert "The 3 largest of 4 clusters are shown." in read.words
