"""Registries: what the names in params.yaml stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar, overload

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import unknown_name

T = TypeVar("T")
Default = TypeVar("Default")


@cache
def imported(path: str) -> Any:
    """What ``package.module:attribute`` names; the module is imported now, and not before.

    ``commands.deps`` follows such strings as it follows imports.
    """
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Mapping[str, T], Generic[T]):
    """An immutable mapping from a name to what it names.

    What needs a package that takes long to import, such as torch, is given as a string ``package.module:attribute``
    and imported where it is first used: names can be checked without it.
    """

    def __init__(self, what: str, entries: Mapping[str, T | str]) -> None:
        """Keep the entries in their order.

        Args:
            what: What messages call the choice, such as the parameter that takes it.
            entries: By name, the thing or where to import it from.
        """
        self._what = what
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        """The thing.

        Raises:
            UserError: There is none of this name.
        """
        if name not in self._entries:
            raise UserError(f"{self._what} = {name!r}: {unknown_name(str(name), self._entries)}")
        entry = self._entries[name]
        found: T = imported(entry) if isinstance(entry, str) else entry
        return found

    @overload
    def get(self, name: str, /) -> T | None: ...

    @overload
    def get(self, name: str, /, default: T | Default) -> T | Default: ...

    def get(self, name: str, /, default: Any = None) -> Any:
        """The thing, or ``default`` where there is none of this name."""
        # Mapping's own looks for a KeyError.
        if name not in self:
            return default
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class OneOf:
    """Type of a setting that takes one of the names: ``Annotated[str, OneOf(REGISTRY)]``.

    What it refuses is refused in the words of a ``Literal`` of the same names.
    """

    def __init__(self, names: Iterable[str], *others: str) -> None:
        """Allow ``others``, such as ``auto``, and ``names``, in this order."""
        self.names = (*others, *names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
