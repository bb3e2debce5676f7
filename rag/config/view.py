"""A pipeline as the rules of its components see it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from rag.config.problems import Path

if TYPE_CHECKING:
    from rag.config.spec import Spec

Conflict: TypeAlias = tuple[Path, str]
"""What does not fit together: the path of the value that should change, and why."""

T = TypeVar("T")


class UnknownValueError(Exception):
    """A rule looked at a part of the pipeline that is itself wrong, so it can say nothing."""


class View:
    """Values of a pipeline by their place in its file, for `Spec.conflicts`.

    Args:
        pipeline: the whole of it.
        wrong: paths that hold a default in the place of what was written, since that is wrong; to look there raises
            `UnknownValueError`, which ends the rule.
    """

    def __init__(self, pipeline: Spec, wrong: Collection[Path] = ()) -> None:
        self._pipeline = pipeline
        self._wrong = wrong

    def value(self, place: str) -> object:
        """What stands at ``ingest.index.sparse`` or the like; ``None`` where nothing does."""
        path = tuple(place.split("."))
        if self.is_wrong(path):
            raise UnknownValueError(place)
        value: object = self._pipeline
        for name in path:
            value = getattr(value, name, None)
        return value

    def get(self, place: str, kind: type[T]) -> T | None:
        """What stands there if it is of that kind, else ``None``."""
        value = self.value(place)
        return value if isinstance(value, kind) else None

    def specs(self, place: str) -> tuple[Spec, ...]:
        """The components that stand there: of a list all, of one stage it alone, of a null none."""
        from rag.config.spec import Spec

        value = self.value(place)
        return tuple(each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, Spec))

    def is_wrong(self, path: Path) -> bool:
        """Whether the value at `path`, something in it or something around it is not what was written."""
        return any(path[: len(wrong)] == wrong[: len(path)] for wrong in self._wrong)
