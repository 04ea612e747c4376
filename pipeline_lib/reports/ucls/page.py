"""The page of a run: one HTML file with all measures and pictures inside, below a limit of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_lib.reports.drawing.origins import package_versions, stage_settings
from pipeline_lib.reports.drawing.rendering import render_page
from pipeline_lib.reports.drawing.thumbnails import QUALITIES, Quality, Thumbnails
from pipeline_lib.reports.ucls.cards import TITLES, cluster_cards
from pipeline_lib.reports.ucls.confusion import MOST_WRITTEN
from pipeline_lib.reports.ucls.details import consensus_details, neighbor_details
from pipeline_lib.reports.ucls.galleries import choose_galleries, images_per_gallery
from pipeline_lib.reports.ucls.run_facts import RunFacts
from pipeline_lib.reports.ucls.run_panels import RunPanels
from pipeline_lib.reports.ucls.scores import MEASURES, label_free_rows, score_rows

LARGEST_PAGE = 10_000_000
"""Bytes that a page stays below."""

_LARGEST_ERRORS = 12


def run_page(facts: RunFacts, panels: RunPanels, limit: int = LARGEST_PAGE) -> str:
    """Render the page of a run, with the best thumbnails that keep it below ``limit`` bytes.

    Args:
        facts: The run.
        panels: Its pictures.
        limit: Bytes of UTF-8 that the page stays below. If it cannot even with the smallest thumbnails, it has none
            and says so.

    Returns:
        The HTML document.
    """
    galleries = choose_galleries(facts.clusters, facts.probability, facts.agreement, facts.count)
    shown = (row for gallery in galleries for row in (*gallery.most, *gallery.least, *gallery.disputed))
    thumbnails = Thumbnails(shown, facts.read)
    values = _values(facts, panels) | {"pixel_art": thumbnails.pixel_art, "shown_clusters": len(galleries)}
    for quality in QUALITIES:
        # Saves encoding thousands of images only to throw them away.
        if thumbnails.estimated_bytes(quality) >= limit:
            continue
        cards = cluster_cards(facts, galleries, thumbnails.encoded(quality))
        page = render_page("ucls.html", "clusters.js", {**values, "cards": cards, "note": _note(quality, limit)})
        if len(page.encode()) < limit:
            return page
    cards = cluster_cards(facts, galleries, {})
    return render_page("ucls.html", "clusters.js", {**values, "cards": cards, "note": _note(None, limit)})


def _note(quality: Quality | None, limit: int) -> str:
    """What the page says where its thumbnails are not the best ones."""
    if quality == QUALITIES[0]:
        return ""
    size = f"the page below {limit / 1e6:g} MB"
    if quality is None:
        return f"Thumbnails are left out to keep {size}."
    return f"Thumbnails are reduced to {quality.side} pixels at quality {quality.quality} to keep {size}."


def _values(facts: RunFacts, panels: RunPanels) -> dict[str, Any]:
    """What the template needs beside the clusters' cards."""
    confusion = facts.oracle_confusion
    written = confusion is not None and max(confusion.counts.shape) <= MOST_WRITTEN
    return {
        "facts": facts,
        "panels": panels,
        "tiles": _tiles(facts),
        "scores": score_rows(facts.measures),
        "label_free": label_free_rows(facts.measures),
        "measures": MEASURES,
        "kinds": TITLES,
        "per_gallery": images_per_gallery(facts.count),
        "confusion": confusion,
        "confusion_written": written,
        "errors": confusion.largest_errors(_LARGEST_ERRORS) if confusion is not None else [],
        "neighbor_details": neighbor_details(facts.measures),
        "consensus_details": consensus_details(facts.measures, facts.split),
        "settings": stage_settings(facts.origins),
        "packages": package_versions(facts.origins),
    }


def _tiles(facts: RunFacts) -> list[tuple[str, str]]:
    """The headline: name and value of a few measures."""
    measures: Mapping[str, Any] = facts.measures
    wanted = [(f"self_trained_{measure}", f"{measure.upper()} ‡") for measure in MEASURES]
    wanted += [("ensemble_acc", "ACC †"), ("kmeans_acc", "ACC of k-means")]
    if not any(name in measures for name, _ in wanted):
        wanted = [("ensemble_anmi", "average NMI †"), ("ensemble_agreement", "agreement †")]
        wanted += [("self_trained_silhouette", "silhouette ‡"), ("heads_pairwise_nmi", "pairwise NMI of heads")]
    tiles = [(title, f"{measures[name]:.3f}") for name, title in wanted if name in measures]
    return [*tiles, ("images", f"{len(facts.clusters):,}"), ("clusters", f"{facts.count:,}")]
