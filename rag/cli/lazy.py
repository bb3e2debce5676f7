"""A group of commands that are imported when they are asked for: one command pays for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group

if TYPE_CHECKING:
    from typer._click import Command


class LazyGroup(TyperGroup):
    """The commands of `places`: by name, the function or the `typer.Typer` as ``module:attribute``."""

    places: ClassVar[Mapping[str, str]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.places)  # type: ignore[assignment]  # a dict by its type, read as a mapping


class _Commands(Mapping[str, "Command"]):
    """Each command built at its first use."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._built: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._built:
            self._built[name] = _built(name, self._places[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _built(name: str, place: str) -> Command:
    module, _, attribute = place.partition(":")
    made = getattr(import_module(module), attribute)
    alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(made, typer.Typer):
        alone.add_typer(made, name=name)
    else:
        alone.command(name)(made)
    return get_group(alone).commands[name]
