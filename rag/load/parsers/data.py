"""JSON, JSON lines, YAML and TOML: the text as it is, with its keys as headings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from rag.load.base import Parsed
from rag.load.builder import Limits
from rag.load.parsers.text import TextParser
from rag.types import Layout, Part

_LONG_LINE = 2000
_RECORD = 300  # characters of an object or list that stands on one line, as a row of a table would
_encoded = json.JSONEncoder(ensure_ascii=False).encode
_ESCAPED = re.compile(r"\\u[0-9a-fA-F]{4}")
_KEYS = re.compile(
    r"""^(?:
        (?P<json>\x20{1,2}"(?P<json_name>[^"\\]{1,80})"\x20?:)
      | (?P<yaml>(?P<yaml_name>[A-Za-z_][\w.\x20-]{0,79}):(?=\s|$))
      | (?P<toml>\[{1,2}(?P<toml_name>[^\[\]\n]{1,80})\]{1,2}\x20*(?=\r?$))
    )[^\r\n]*""",
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class DataParser:
    """Quotes from a data file must be found in it, so nothing is rewritten, with one exception.

    JSON on one endless line, or with its letters escaped as numbers, cannot be read or cut: it is laid out again, a
    short record to a line. A file that is cut off or not valid is plain text.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        parsed = TextParser(self.limits).parse(data, name)
        text, kind = parsed.text, name.lower().rpartition(".")[2]
        if kind == "json" and (_ESCAPED.search(text) or max(map(len, text.split("\n"))) > _LONG_LINE):
            text = _laid_out(text)
        elif kind in ("jsonl", "ndjson") and _ESCAPED.search(text):
            text = "\n".join(_unescaped(line) for line in text.split("\n"))
        if len(text) > self.limits.max_characters:
            raise ValueError(f"it holds more than {self.limits.max_characters:,} characters of text")
        same_lines = text is parsed.text or kind != "json"
        return Parsed(text=text, layout=Layout(parts=_keys(text, kind), lines=same_lines))


def _keys(text: str, kind: str) -> tuple[Part, ...]:
    """The keys of the first level, as headings of level 1; the range is the key's own line."""
    wanted = {"yml": "yaml"}.get(kind, kind)
    return tuple(
        Part("heading", match.start(), match.end(), match.group(f"{wanted}_name").strip(), 1)
        for match in (_KEYS.finditer(text) if wanted in ("json", "yaml", "toml") else ())
        if match.group(wanted) and (wanted != "json" or _first_level(match, text))
    )


def _first_level(match: re.Match[str], text: str) -> bool:
    """Whether a JSON key is indented like the file's first key."""
    first = re.match(r"\s*\{\s*?\n( +)\"", text)
    return first is not None and match.group("json").startswith(first.group(1) + '"')


def _laid_out(text: str) -> str:
    try:
        return "\n".join(_lines(json.loads(text))).encode("utf-8", "replace").decode()
    except (ValueError, RecursionError):
        return text


def _lines(value: object, *, longest: int = _RECORD) -> list[str]:
    """A value on one line if it is not longer than `longest`, else over several lines, its parts by the same rule."""
    if not isinstance(value, dict | list) or not value:
        return [_encoded(value)]
    if len(value) < longest and len(line := _encoded(value)) <= longest:
        return [line]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    pairs = (
        [(f"{_encoded(key)}: ", child) for key, child in value.items()]
        if isinstance(value, dict)
        else [("", child) for child in value]
    )
    lines = [opening]
    for before, child in pairs:
        first, *others = _lines(child, longest=longest)
        lines += [f" {before}{first}", *(f" {line}" for line in others)]
        lines[-1] += ","
    lines[-1] = lines[-1][:-1]
    return [*lines, closing]


def _unescaped(line: str) -> str:
    try:
        return json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace").decode() if line else line
    except (ValueError, RecursionError):
        return line
