"""The typed fields of a metadata schema: asked for as JSON, held to their types, stored as scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias

from rag.enrich.asking import UnusableReplyError
from rag.models.llm import Json
from rag.types import Scalar

if TYPE_CHECKING:
    from rag.enrich.specs import FieldSpec

Value: TypeAlias = str | int | float | bool | list[str]

SEPARATOR = "; "
"""Between the items of a list, stored as one text; the filter `contains` looks for a whole item."""

LONGEST_ITEM = 200  # characters
_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "date": "string"}


def json_schema(fields: Sequence[FieldSpec]) -> Mapping[str, Json]:
    """A JSON Schema of an object with all fields, any of which may be null (an empty list, for lists)."""
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def list_schema(name: str, *, most: int) -> Mapping[str, Json]:
    """A JSON Schema of an object with one list of texts."""
    listed: Json = {"type": "array", "items": {"type": "string"}, "maxItems": most}
    return {"type": "object", "properties": {name: listed}, "required": [name], "additionalProperties": False}


def _field_schema(field: FieldSpec) -> Json:
    about: dict[str, Json] = {"description": described(field)}
    if field.type == "list":
        return {"type": "array", "items": {"type": "string"}, **about}
    if field.choices:
        return {"type": ["string", "null"], "enum": [*field.choices, None], **about}
    return {"type": [_JSON_TYPES[field.type], "null"], **about}


def described(field: FieldSpec) -> str:
    """What the model is told about a field.

    >>> from rag.enrich.specs import FieldSpec
    >>> described(FieldSpec(name="due", type="date", description="When it is due."))
    'When it is due. A date as YYYY-MM-DD, or null.'
    """
    unit = "items" if field.type == "list" else "words"
    most = f" of at most {field.most} {unit}" if field.most is not None else ""
    kind = {
        "str": f"one of {', '.join(field.choices)}" if field.choices else f"a text{most}",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "date": "a date as YYYY-MM-DD",
        "list": f"a list{most}",
    }[field.type]
    otherwise = "empty if there are none" if field.type == "list" else "or null"
    return f"{field.description} {kind[0].upper()}{kind[1:]}, {otherwise}.".strip()


def validated(fields: Sequence[FieldSpec], found: Mapping[str, Json], text: str) -> dict[str, Value]:
    """The values of an object, held to their fields; what is null, absent or empty is left out.

    Texts are trimmed and cut to their longest, items of a list are each there once; of a `grounded` field only what
    stands in `text` is kept, in any case of letters.

    Raises:
        UnusableReplyError: a value has the wrong type; names every one.
    """
    values: dict[str, Value] = {}
    wrong: list[str] = []
    for field in fields:
        given = found.get(field.name)
        try:
            value = None if given is None else _typed(field, given)
        except ValueError as error:
            wrong.append(f"{field.name}: {error}")
            continue
        if field.grounded and value is not None:
            value = _grounded(value, text.casefold())
        if value is not None and value not in ("", []):
            values[field.name] = value
    if wrong:
        raise UnusableReplyError("; ".join(wrong))
    return values


def _typed(field: FieldSpec, given: Json) -> Value:
    if field.type == "list":
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise ValueError(f"expected a list of texts, got {given!r}")
        return listed([str(item) for item in given], most=field.most)
    if field.type == "bool":
        if not isinstance(given, bool):
            raise ValueError(f"expected true or false, got {given!r}")
        return given
    if field.type in ("int", "float"):
        return _number(field.type, given)
    if not isinstance(given, str):
        raise ValueError(f"expected a text, got {given!r}")
    if field.type == "date":
        try:
            return date.fromisoformat(given.strip()).isoformat()
        except ValueError:
            raise ValueError(f"expected a date as YYYY-MM-DD, got {given!r}") from None
    return _text(field, given)


def _number(kind: str, given: Json) -> int | float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given):
        raise ValueError(f"expected a number, got {given!r}")
    if kind == "float":
        return float(given)
    if given != int(given):
        raise ValueError(f"expected a whole number, got {given!r}")
    return int(given)


def _text(field: FieldSpec, given: str) -> str:
    words = given.split()
    if not field.choices:
        return " ".join(words[: field.most])
    chosen = {choice.casefold(): choice for choice in field.choices}.get(" ".join(words).casefold())
    if chosen is None:
        raise ValueError(f"expected one of {', '.join(field.choices)}, got {given!r}")
    return chosen


def listed(items: Sequence[str], *, most: int | None) -> list[str]:
    """Items trimmed and without the separator, each once whatever its letters' case, those that are overlong left out.

    >>> listed(["Leave", " leave ", "a; b"], most=None)
    ['Leave', 'a, b']
    """
    kept: dict[str, str] = {}
    for item in items:
        clean = " ".join(item.replace(SEPARATOR.strip(), ",").split())
        if clean and len(clean) <= LONGEST_ITEM:
            kept.setdefault(clean.casefold(), clean)
    return list(kept.values())[:most]


def _grounded(value: Value, folded: str) -> Value | None:
    if isinstance(value, list):
        return [item for item in value if item.casefold() in folded]
    return value if str(value).casefold() in folded else None


def stored(values: Mapping[str, Value]) -> dict[str, Scalar]:
    """Values as metadata can hold them: a list becomes one text.

    >>> stored({"keywords": ["annual leave", "carry over"], "year": 2024})
    {'keywords': 'annual leave; carry over', 'year': 2024}
    """
    return {name: SEPARATOR.join(value) if isinstance(value, list) else value for name, value in values.items()}
