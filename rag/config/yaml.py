"""Reads YAML 1.2 with the position of every key and value.

PyYAML scans and parses; what its parser calls a scalar is read here by the core schema of YAML 1.2 (``no`` and ``on``
are text, ``1e-5`` is a number, ``12:30`` is text). Equal keys in one mapping and tags are refused; aliases are allowed
as long as the document stays below a fixed number of values when they are written out.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import NoReturn, TypeAlias

import yaml

from rag.config.problems import InvalidConfigError, Origin, Path, Problem
from rag.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_VALUES = 10_000
MAX_DEPTH = 32

Scalar: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was written.

    `key` is where the key before it was written. `quoted` is true for text in quotes and blocks, which stays text
    whatever is filled in. `values` counts the values in it, itself included, aliases written out.
    """

    value: Scalar | list[Node] | dict[str, Node]
    origin: Origin
    key: Origin | None = None
    quoted: bool = False
    values: int = 1

    @property
    def plain(self) -> Plain:
        """The value without positions."""
        if isinstance(self.value, dict):
            return {key: child.plain for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain for child in self.value]
        return self.value

    def at(self, path: Path) -> Node | None:
        """What stands at `path`, if anything does."""
        if not path:
            return self
        first, rest = path[0], path[1:]
        child: Node | None = None
        if isinstance(self.value, dict) and isinstance(first, str):
            child = self.value.get(first)
        elif isinstance(self.value, list) and isinstance(first, int) and first < len(self.value):
            child = self.value[first]
        return child.at(rest) if child is not None else None

    def without(self, path: Path) -> Node:
        """The same tree less what stands at `path`, if anything does."""
        first, rest = path[0], path[1:]
        if not isinstance(self.value, dict) or first not in self.value:
            return self
        children = {name: child for name, child in self.value.items() if name != first}
        if rest:
            children[str(first)] = self.value[str(first)].without(rest)
        return replace(self, value=children)


def read(path: FilePath, *, name: str) -> Node:
    """The one document of a file; `name` is what messages call the file.

    Raises:
        InvalidConfigError: it is not YAML as this module reads it, or not UTF-8.
        ConfigError: it cannot be opened, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name}: longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InvalidConfigError([Problem(Origin(name, 1, 1), (), "it is UTF-16; save it as UTF-8")]) from error
        before = data[: error.start].decode("utf-8-sig").split("\n")
        place = Origin(name, len(before), len(before[-1]) + 1)
        message = f"not UTF-8: {error.reason} at byte {error.start}"
        raise InvalidConfigError([Problem(place, (), message)]) from error
    return parse(text, name=name)


def parse(text: str, *, name: str) -> Node:
    """The one document in a text.

    Raises:
        InvalidConfigError: it is not YAML as this module reads it.
    """
    composer = _Composer(text, name)
    node = composer.document()
    if composer.problems:
        raise InvalidConfigError(composer.problems)
    return node


def parse_value(text: str, *, label: str) -> Node:
    """The value in a flag or an environment variable: a scalar, or a list or mapping in flow style.

    Raises:
        InvalidConfigError: it is not YAML.
    """
    if not text.strip():
        return Node(None, Origin(label))
    try:
        return _relabelled(parse(text, name=label), Origin(label))
    except InvalidConfigError as error:
        problems = [Problem(Origin(label), (), problem.message) for problem in error.problems]
        raise InvalidConfigError(problems) from None


def _relabelled(node: Node, origin: Origin) -> Node:
    key = origin if node.key is not None else None
    if isinstance(node.value, dict):
        children = {name: _relabelled(child, origin) for name, child in node.value.items()}
        return replace(node, value=children, origin=origin, key=key)
    if isinstance(node.value, list):
        return replace(node, value=[_relabelled(child, origin) for child in node.value], origin=origin, key=key)
    return replace(node, origin=origin, key=key)


_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LONGEST_NUMBER = 400


def scalar(text: str) -> Scalar:
    """A plain scalar by the core schema of YAML 1.2.

    >>> [scalar(text) for text in ("1e-5", "0o17", "on", "12:30", "~", "true")]
    [1e-05, 15, 'on', '12:30', None, True]
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text, 10 if text[:2] not in ("0o", "0x") else 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    if match := _INFINITY.fullmatch(text):
        return float(match.group(1) + "inf")
    return float("nan") if text in (".nan", ".NaN", ".NAN") else text


_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what PyYAML counts as one


class _Composer:
    """Makes nodes of PyYAML's events; goes on after a repeated key or a tag, to report all of them."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines = _LINE_BREAK.split(text)
        self.text = text
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node] = {}
        self.values = 0
        self.events: Iterator[yaml.Event] = iter(())

    def document(self) -> Node:
        try:
            self.events = yaml.parse(self.text, Loader=yaml.SafeLoader)
            next(self.events)  # the stream's start
            event = next(self.events)
            if isinstance(event, yaml.StreamEndEvent):
                return Node({}, self.origin(event))
            node = self.node(next(self.events), (), 0)
            next(self.events)  # the document's end
            event = next(self.events)
            if not isinstance(event, yaml.StreamEndEvent):
                self.fail(event, (), "expected one document, found a second one")
            return node
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            origin = Origin(self.name) if mark is None else self.place(mark.line, mark.column)
            sentence = _sentence(error)
            if mark is not None and origin.excerpt[: mark.column].endswith("$"):
                sentence = "between braces, ${...} needs quotes: '${...}'"
            raise InvalidConfigError([Problem(origin, (), sentence)]) from error
        except yaml.reader.ReaderError as error:
            code = self.text[error.position]
            before = _LINE_BREAK.split(self.text[: error.position])
            message = f"the character U+{ord(code):04X} is not allowed in YAML"
            raise InvalidConfigError(
                [Problem(Origin(self.name, len(before), len(before[-1]) + 1), (), message)]
            ) from error

    def node(self, event: yaml.Event, path: Path, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.fail(event, path, f"nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.AliasEvent):
            node = self.alias(event, path)
        elif isinstance(event, yaml.ScalarEvent):
            quoted = event.style is not None
            node = Node(event.value if quoted else scalar(event.value), self.origin(event), quoted=quoted)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, path, depth)
        else:
            node = self.mapping(event, path, depth)
        self.values += node.values if isinstance(event, yaml.AliasEvent) else 1
        if self.values > MAX_VALUES:
            self.fail(event, path, f"more than {MAX_VALUES} values, aliases written out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.tag is not None:
                self.problem(event, path, f"tags such as {event.tag} are not allowed")
            if event.anchor is not None:
                self.anchors[event.anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, path: Path) -> Node:
        name = str(event.anchor)
        if name not in self.anchors:
            self.fail(event, path, f"the alias *{name} has no complete &{name} before it")
        return self.anchors[name]

    def sequence(self, start: yaml.Event, path: Path, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, (*path, len(items)), depth + 1))
        return Node(items, self.origin(start), values=1 + sum(item.values for item in items))

    def mapping(self, start: yaml.Event, path: Path, depth: int) -> Node:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.fail(event, path, "expected a name as the key")
            name = str(event.value)
            if event.tag is not None:
                self.problem(event, path, f"tags such as {event.tag} are not allowed")
            if name == "<<" and event.style is None:
                self.problem(event, path, "merge keys are not part of YAML 1.2; use `extends` or `presets`")
            key = self.origin(event)
            child = self.node(next(self.events), (*path, name), depth + 1)
            if name in children:
                first = children[name].key
                assert first is not None
                self.problem(event, (*path, name), f"the key is already there, in line {first.line}")
            children[name] = replace(child, key=key)
        values = 1 + sum(child.values for child in children.values())
        return Node(children, self.origin(start), values=values)

    def origin(self, event: yaml.Event) -> Origin:
        mark = event.start_mark
        assert mark is not None  # only events that a program makes have none
        return self.place(mark.line, mark.column)

    def place(self, line: int, column: int) -> Origin:
        excerpt = self.lines[line] if line < len(self.lines) else ""
        return Origin(self.name, line + 1, column + 1, excerpt)

    def problem(self, event: yaml.Event, path: Path, message: str) -> None:
        self.problems.append(Problem(self.origin(event), path, message))

    def fail(self, event: yaml.Event, path: Path, message: str) -> NoReturn:
        self.problem(event, path, message)
        raise InvalidConfigError(self.problems)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if "'\\t'" in problem:
        return "a tab cannot indent; use spaces"
    return f"{error.context}, {problem}" if error.context else problem
