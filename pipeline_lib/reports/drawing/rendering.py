"""Renders self-contained pages: style and script inside, nothing fetched, every text escaped.

``base.html`` and ``style.css`` know no method; a page of another chain extends and uses them as ``ucls.html`` does.
"""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline_lib.reports.drawing.panels import Panel, panels_png
from pipeline_lib.reports.drawing.svg import inline_svg

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, script: str, values: dict[str, Any]) -> str:
    """Render a page; equal values make equal text.

    The page forbids itself by a content security policy to load anything, and to run any script but its own.

    Args:
        template: Name of a template that extends ``base.html``.
        script: Name of its script's file; empty for a page without one.
        values: What the template uses; a name that it uses and that is not there is an error.

    Returns:
        The HTML document.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["figure"] = figure_element
    environment.globals["picture"] = picture_element
    code = (TEMPLATES / script).read_text(encoding="utf-8") if script else ""
    return environment.get_template(template).render(
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(code),
        script_digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        **values,
    )


def figure_element(panel: Panel) -> Markup:
    """A panel as an inline ``svg`` element that follows the reader's theme."""
    return Markup(inline_svg(panel, html.escape(panel.alt)))


def picture_element(panel: Panel) -> Markup:
    """A panel as an embedded PNG, for what would be large as SVG."""
    encoded = base64.b64encode(panels_png([panel])).decode()
    source = Markup('<img class="picture" src="data:image/png;base64,{}" alt="{}">')
    return source.format(encoded, panel.alt)
