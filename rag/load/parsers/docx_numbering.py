"""The numbers and bullets that Word shows but does not store in the text."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.load.parsers.office import attribute, child, children

if TYPE_CHECKING:
    from lxml.etree import _Element

_ROMAN = {1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc", 50: "l", 40: "xl"}
_ROMAN |= {10: "x", 9: "ix", 5: "v", 4: "iv", 1: "i"}


@dataclass(frozen=True, slots=True)
class _Level:
    kind: str
    pattern: str
    start: int


class Numbering:
    """Counts list items in document order."""

    def __init__(self, tree: _Element | None) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._lists: dict[str, str] = {}
        self._counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
        if tree is None:
            return
        for abstract in children(tree, "abstractNum"):
            self._levels[attribute(abstract, "abstractNumId")] = dict(map(_level, children(abstract, "lvl")))
        for number in children(tree, "num"):
            target = child(number, "abstractNumId")
            if target is not None:
                self._lists[attribute(number, "numId")] = attribute(target, "val")

    def label(self, list_id: str, depth: int) -> str:
        """Count one more item of a list at a depth from 0; its label with a space after it: ``1.2 ``, ``- ``."""
        abstract = self._lists.get(list_id)
        levels = self._levels.get(abstract or "", {})
        level = levels.get(depth)
        if abstract is None or level is None or level.kind == "none":
            return ""
        if level.kind == "bullet":
            return "  " * depth + "- "
        counts = self._counts[abstract]
        counts[depth] = counts.get(depth, level.start - 1) + 1
        for deeper in [d for d in counts if d > depth]:
            del counts[deeper]

        def shown(match: re.Match[str]) -> str:
            at = int(match.group(1)) - 1
            other = levels.get(at, level)
            return _format(counts.get(at, other.start), other.kind)

        text = re.sub(r"%(\d)", shown, level.pattern).strip()
        return f"{text} " if text else ""


def _level(element: _Element) -> tuple[int, _Level]:
    def value(name: str, default: str) -> str:
        found = child(element, name)
        return attribute(found, "val", default) if found is not None else default

    start = value("start", "1")
    depth = attribute(element, "ilvl", "0")
    level = _Level(value("numFmt", "decimal"), value("lvlText", ""), int(start) if start.isdecimal() else 1)
    return int(depth) if depth.isdecimal() else 0, level


def _format(number: int, kind: str) -> str:
    """
    >>> [_format(28, kind) for kind in ("decimal", "lowerLetter", "upperRoman")]
    ['28', 'bb', 'XXVIII']
    """
    number = min(number, 9999)
    if kind.endswith("Letter") and number > 0:
        repeated, letter = divmod(number - 1, 26)
        text = chr(ord("a") + letter) * (repeated + 1)
    elif kind.endswith("Roman"):
        text, rest = "", number
        for value, numeral in _ROMAN.items():
            text += numeral * (rest // value)
            rest %= value
    else:
        return f"{number:02}" if kind == "decimalZero" else str(number)
    return text.upper() if kind.startswith("upper") else text
