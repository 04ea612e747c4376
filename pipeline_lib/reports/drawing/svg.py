"""Makes matplotlib's SVG fit for a page: theme colours, names of its own, no identifiers that nothing refers to."""

from __future__ import annotations

import re

from pipeline_lib.reports.drawing.panels import THEME, Panel, drawn_svg

GROUP_PREFIX = "cluster-"
"""Groups with this prefix and a number as ``gid`` get the attribute ``data-cluster`` for the page's script."""

_REFERENCE = re.compile(r'(?:xlink:href="#|url\(#)([^")]+)')
_IDENTIFIER = re.compile(r' id="([^"]*)"')
_THEMED = re.compile("|".join(THEME), re.IGNORECASE)


def inline_svg(panel: Panel, title: str) -> str:
    """Draw a panel as an SVG element to put into an HTML page.

    Args:
        panel: The panel; its name makes the identifiers unique on the page.
        title: Escaped text for assistive tools, as a double-quoted attribute can hold it.

    Returns:
        An ``svg`` element whose colours are CSS variables (``--ink`` and so on) with the drawn ones as fallback.
    """
    document = drawn_svg(panel)
    body = document[document.index(">", document.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _with_own_identifiers(body, panel.name)
    body = _THEMED.sub(lambda match: f"var(--{THEME[match[0].lower()]}, {match[0]})", body)
    width, height = panel.width * 72, panel.height * 72
    head = f'<svg class="panel" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}">'
    return head + re.sub(r"\n\s*", "\n", body)


def _with_own_identifiers(body: str, name: str) -> str:
    referred = set(_REFERENCE.findall(body))

    def renamed(match: re.Match[str]) -> str:
        if match[1] in referred:
            return f' id="{name}-{match[1]}"'
        number = match[1].removeprefix(GROUP_PREFIX)
        return f' data-cluster="{number}"' if number != match[1] and number.isdigit() else ""

    body = _IDENTIFIER.sub(renamed, body)
    return _REFERENCE.sub(lambda match: match[0][: -len(match[1])] + f"{name}-{match[1]}", body)
