"""What the page says of each cluster and of each image in its galleries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_lib.reports.ucls.galleries import KINDS, Gallery
from pipeline_lib.reports.ucls.run_facts import RunFacts

TITLES = {"most": "Most confident", "least": "Least confident", "disputed": "Most disputed between heads"}
_EMPTY = {
    "most": "no images",
    "least": "no other images",
    "disputed": "all heads agree on every image",
}


@dataclass(frozen=True)
class Thumb:
    """An image of a gallery.

    Attributes:
        uri: Data URI, or None where the page has no room for pictures.
        text: Its name, probability, agreement and, where known, class.
        other_class: Whether its true class is not the one its cluster is matched with.
    """

    uri: str | None
    text: str
    other_class: bool


@dataclass(frozen=True)
class GalleryBlock:
    """One gallery of a cluster: kind, title, images, and what to say where there are none."""

    kind: str
    title: str
    thumbs: tuple[Thumb, ...]
    empty: str


@dataclass(frozen=True)
class Card:
    """A cluster on the page.

    Attributes:
        cluster: Its number.
        title: Its name, or number.
        count: Images in it.
        share: Share of all images, [0, 1].
        probability: Mean probability, None where it is empty.
        agreement: Mean agreement of the heads, None where it is empty.
        oracle_class: Name of the true class that it is matched with, None without labels or match.
        oracle_share: Share of its labelled images that have this class.
        blocks: Its galleries.
    """

    cluster: int
    title: str
    count: int
    share: float
    probability: float | None
    agreement: float | None
    oracle_class: str | None
    oracle_share: float | None
    blocks: tuple[GalleryBlock, ...]


def cluster_cards(facts: RunFacts, galleries: list[Gallery], uris: Mapping[int, str]) -> list[Card]:
    """Cards of the clusters that have a gallery.

    Args:
        facts: The run.
        galleries: The chosen images.
        uris: Data URI of each image by its row; may be empty.
    """
    matched = facts.oracle_confusion.class_of() if facts.oracle_confusion is not None else {}
    return [_card(facts, gallery, uris, matched.get(gallery.cluster)) for gallery in galleries]


def _card(facts: RunFacts, gallery: Gallery, uris: Mapping[int, str], true_class: int | None) -> Card:
    name = share = None
    if facts.oracle is not None and true_class is not None:
        labels = facts.oracle.labels[facts.clusters == gallery.cluster]
        name, share = facts.oracle.names[true_class], float((labels == true_class).sum() / (labels >= 0).sum())
    blocks = []
    for kind in KINDS:
        rows: tuple[int, ...] = getattr(gallery, kind)
        thumbs = tuple(_thumb(facts, row, uris.get(row), true_class) for row in rows)
        empty = _EMPTY[kind] if gallery.count else _EMPTY["most"]
        blocks.append(GalleryBlock(kind, TITLES[kind], thumbs, empty))
    return Card(
        gallery.cluster,
        facts.cluster_title(gallery.cluster),
        gallery.count,
        gallery.count / max(1, len(facts.clusters)),
        gallery.probability,
        gallery.agreement,
        name,
        share,
        tuple(blocks),
    )


def _thumb(facts: RunFacts, row: int, uri: str | None, cluster_class: int | None) -> Thumb:
    parts = [
        facts.image_name(row),
        f"probability {facts.probability[row]:.2f}",
        f"{facts.agreement[row]:.0%} of heads agree",
    ]
    other = False
    if facts.oracle is not None and (name := facts.oracle.name_of(row)) is not None:
        parts.append(f"class {name}")
        other = int(facts.oracle.labels[row]) != cluster_class
    return Thumb(uri, " · ".join(parts), other)
