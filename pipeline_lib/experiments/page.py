"""One page with all tables and pictures of a chapter of the thesis, complete in itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from pipeline_lib.reports.drawing.rendering import render_page


@dataclass(frozen=True)
class Section:
    """One table of a report.

    Attributes:
        title: Its heading.
        conditions: What is bound to it alone, in words; empty where nothing is.
        body: The table in Markdown.
        pictures: Files of its pictures.
        note: What a reader has to know of it.
        empty: Its empty cells, a line each with the reason.
    """

    title: str
    conditions: str
    body: str
    pictures: Sequence[Path] = ()
    note: str = ""
    empty: Sequence[str] = ()

    @property
    def markdown(self) -> list[str]:
        """The section in Markdown."""
        here = [f"Here: {self.conditions}.", ""] if self.conditions else []
        drawn = [f"![{self.title}]({picture.name})\n" for picture in self.pictures]
        return [f"## {self.title}", "", *here, self.body, *drawn, *([f"{self.note}\n"] if self.note else [])]

    @property
    def anchor(self) -> str:
        """Name of the section within the page."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def chapter_page(title: str, explained: Sequence[str], sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The page; equal values make equal text.

    Args:
        title: Title with what was run on.
        explained: What was run and what ± means, in Markdown.
        sections: The tables.
        notes: What a reader has to know of the whole, in Markdown.

    Returns:
        The HTML document; it loads nothing.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return render_page(
        "chapter.html",
        "",
        {
            "title": title,
            "explained": [_html(markdown, line) for line in explained],
            "sections": [
                {
                    "anchor": section.anchor,
                    "short": section.title.split(":")[0],
                    "title": section.title,
                    "here": _html(markdown, f"Here: {section.conditions}.") if section.conditions else "",
                    "body": _html(markdown, section.body),
                    "pictures": [_source(path) for path in section.pictures],
                    "note": _html(markdown, section.note) if section.note else "",
                    "empty": list(section.empty),
                }
                for section in sections
            ],
            "notes": [_html(markdown, note) for note in notes],
            "empty": sum(len(section.empty) for section in sections),
        },
    )


def _html(markdown: MarkdownIt, text: str) -> Markup:
    # The renderer escapes all text, and HTML within it is switched off.
    return Markup(markdown.render(text))


def _source(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
