"""The order in which stages have to run so that each finds what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Node = TypeVar("Node")


def in_dependency_order(wanted: Iterable[Node], needs: Callable[[Node], Iterable[Node]]) -> list[Node]:
    """Wanted nodes and all that they need, each once and after what it needs itself.

    Args:
        wanted: What is asked for; a node is told from others by its identity.
        needs: The nodes that one needs directly; there is no way from a node back to itself.

    Returns:
        The nodes, those of the first wanted one first.
    """
    found: dict[int, Node] = {}

    def visit(node: Node) -> None:
        if id(node) in found:
            return
        for needed in needs(node):
            visit(needed)
        found[id(node)] = node

    for node in wanted:
        visit(node)
    return list(found.values())
