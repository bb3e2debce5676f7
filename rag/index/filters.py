"""Metadata conditions as people type them: ``year >= 2020 and (lang = "en" or not draft = true) and exists(author)``.

::

    condition   either ("or" either)*
    either      plain ("and" plain)*
    plain       "not" plain | "(" condition ")" | "exists" "(" field ")"
              | field ("=" | "!=" | "<=" | ">=") value | field "in" "(" value ("," value)* ")"
                | field "contains" "text"
    field       a word of letters, digits, ``_ - .``, or any text in backticks
    value       "text" or 'text', a number, true, false, null; a backslash escapes a quote or a backslash

``contains`` asks for one item of a text that lists several with ``; `` between them, as enrichment stores lists.
A condition includes its bounds; there is no ``<``. ``a != b`` is ``not a = b``: true also where there is no `a`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from rag.errors import ConfigError
from rag.types import Condition, Scalar

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<field>`(?:[^`\\]|\\.)+`)
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.-]))
    | (?P<word>[^\W\d][\w.-]*)
    | (?P<sign><=|>=|!=|==|=|\(|\)|,)
    | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
WORDS = {"true": True, "false": False, "null": None}
RESERVED = {"and", "or", "not", "in", "exists", *WORDS}
PLAIN_FIELD = re.compile(r"[^\W\d][\w.-]*")
DEPTH = 100  # of brackets and `not`


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


def parse_filter(text: str) -> Condition:
    """Read a condition.

    Raises:
        ConfigError: the text is not one; points at the column.

    >>> parse_filter('year >= 2020 and tag in ("a", "b")').op
    'and'
    """
    return _Parser(text).parse()


def format_filter(condition: Condition) -> str:
    """Write a condition so that `parse_filter` reads the same one.

    Raises:
        ValueError: it has no written form: an empty combination, an open range, a number that is not finite.
    """
    match condition:
        case Condition(op="and" | "or" as op, parts=parts) if len(parts) > 1:
            return f" {op} ".join(_bracketed(part) for part in parts)
        case Condition(op="not", parts=(part,)):
            return f"not {_bracketed(part)}"
        case Condition(op="exists", field=field):
            return f"exists({_field(field)})"
        case Condition(op="eq", field=field, values=(value,)):
            return f"{_field(field)} = {_value(value)}"
        case Condition(op="contains", field=field, values=(str(item),)):
            return f"{_field(field)} contains {_value(item)}"
        case Condition(op="in", field=field, values=values) if values:
            return f"{_field(field)} in ({', '.join(map(_value, values))})"
        case Condition(op="range", field=field, values=(low, None)) if low is not None:
            return f"{_field(field)} >= {_value(low)}"
        case Condition(op="range", field=field, values=(None, high)) if high is not None:
            return f"{_field(field)} <= {_value(high)}"
    raise ValueError(f"there is no way to write {condition!r}")


def _bracketed(part: Condition) -> str:
    return f"({format_filter(part)})" if part.op in ("and", "or") else format_filter(part)


def _field(name: str) -> str:
    if PLAIN_FIELD.fullmatch(name) and name.lower() not in RESERVED:
        return name
    return f"`{_escaped(name, '`')}`"


def _value(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{_escaped(value, chr(34))}"'
    for word, meant in WORDS.items():
        if value is meant:
            return word
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"there is no way to write {value!r}")
    return repr(value)


def _escaped(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, f"\\{quote}")


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.tokens: Sequence[Token] = ()

    def parse(self) -> Condition:
        self.tokens = list(self._split())
        condition = self._condition()
        if self._next.kind != "end":
            raise self._wrong("`and`, `or` or the end")
        return condition

    def _split(self) -> list[Token]:
        tokens, at = list[Token](), 0
        while not tokens or tokens[-1].kind != "end":
            found = TOKEN.match(self.text, at)
            if found is None or found.lastgroup is None:
                start = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                raise _error(self.text, start, "expected a field, a value or a sign")
            tokens.append(Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            at = found.end()
        return tokens

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _taken(self, *texts: str) -> bool:
        """Go past the next token if it is one of these words or signs."""
        token = self._next
        if token.kind in ("word", "sign") and token.text.lower() in texts:
            self.at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._taken(text):
            raise self._wrong(f"`{text}`")

    def _wrong(self, expected: str) -> ConfigError:
        found = repr(self._next.text) if self._next.text else "the end"
        return _error(self.text, self._next.at, f"expected {expected}, found {found}")

    def _condition(self) -> Condition:
        parts = [self._either()]
        while self._taken("or"):
            parts.append(self._either())
        return parts[0] if len(parts) == 1 else Condition(op="or", parts=tuple(parts))

    def _either(self) -> Condition:
        parts = [self._plain()]
        while self._taken("and"):
            parts.append(self._plain())
        return parts[0] if len(parts) == 1 else Condition(op="and", parts=tuple(parts))

    def _plain(self) -> Condition:
        self.depth += 1
        if self.depth > DEPTH:
            raise _error(self.text, self._next.at, f"nested more than {DEPTH} deep")
        try:
            if self._taken("not"):
                return Condition(op="not", parts=(self._plain(),))
            if self._taken("("):
                condition = self._condition()
                self._expect(")")
                return condition
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Condition:
        if self._taken("exists"):
            self._expect("(")
            field = self._field()
            self._expect(")")
            return Condition(op="exists", field=field)
        field = self._field()
        if self._taken("in"):
            return Condition(op="in", field=field, values=self._values())
        if self._taken("contains"):
            return Condition(op="contains", field=field, values=(self._item(),))
        if self._taken("=", "=="):
            return Condition(op="eq", field=field, values=(self._value(),))
        if self._taken("!="):
            return Condition(op="not", parts=(Condition(op="eq", field=field, values=(self._value(),)),))
        if self._taken(">="):
            return Condition(op="range", field=field, values=(self._bound(), None))
        if self._taken("<="):
            return Condition(op="range", field=field, values=(None, self._bound()))
        raise self._wrong("`=`, `!=`, `<=`, `>=`, `in` or `contains`")

    def _field(self) -> str:
        token = self._next
        if token.kind == "field":
            self.at += 1
            return _unquoted(token.text)
        if token.kind == "word" and token.text.lower() not in RESERVED:
            self.at += 1
            return token.text
        raise self._wrong("a field")

    def _values(self) -> tuple[Scalar, ...]:
        self._expect("(")
        values = [self._value()]
        while self._taken(","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _item(self) -> Scalar:
        if self._next.kind != "text":
            raise self._wrong('a "text" in quotes')
        return self._value()

    def _bound(self) -> Scalar:
        if self._next.text.lower() == "null" and self._next.kind == "word":
            raise self._wrong("a value to compare with")
        return self._value()

    def _value(self) -> Scalar:
        token = self._next
        self.at += 1
        if token.kind == "text":
            return _unquoted(token.text)
        if token.kind == "number":
            return int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
        if token.kind == "word" and token.text.lower() in WORDS:
            return WORDS[token.text.lower()]
        self.at -= 1
        raise self._wrong('a value: "text" in quotes, a number, true, false or null')


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


def _error(text: str, at: int, message: str) -> ConfigError:
    return ConfigError(f"filter, column {at + 1}: {message}\n    {text}\n    {' ' * at}^")
