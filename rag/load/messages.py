"""What the pool and its worker processes say to each other: length-prefixed JSON and bytes, never pickle.

A worker reads files that nobody has checked, so the pool believes nothing a worker says: lengths are bounded before
anything is read, types and ranges are checked after.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import IO, cast, get_args

from rag.load.base import Parsed
from rag.types import Box, Layout, Part, PartKind, Scalar

_LENGTH_BYTES = 8
_PART_KINDS = frozenset(get_args(PartKind))


class BadMessageError(Exception):
    """The other side said something that is not in the protocol, or stopped in the middle."""


def send(stream: IO[bytes], payload: bytes) -> None:
    stream.write(len(payload).to_bytes(_LENGTH_BYTES, "big"))
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes], *, at_most: int) -> bytes | None:
    """The next payload; ``None`` where the stream ends before it.

    Raises:
        BadMessageError: it is longer than `at_most` bytes, or the stream ends inside it.
    """
    prefix = stream.read(_LENGTH_BYTES)
    if not prefix:
        return None
    length = int.from_bytes(prefix, "big")
    if len(prefix) < _LENGTH_BYTES or length > at_most:
        raise BadMessageError(f"a message of {length} bytes, at most {at_most} are allowed")
    payload = stream.read(length)
    if len(payload) < length:
        raise BadMessageError("the message ends too early")
    return payload


def encode_parsed(parsed: Parsed) -> dict[str, object]:
    return {
        "text": parsed.text,
        "lines": parsed.layout.lines,
        "parts": [astuple(part) for part in parsed.layout.parts],
        "boxes": [astuple(box) for box in parsed.layout.boxes],
        "meta": dict(parsed.meta),
    }


def dump(message: dict[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def load(payload: bytes) -> dict[str, object]:
    """Raises `BadMessageError` unless the payload is a JSON object."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(str(error)) from error
    if not isinstance(message, dict):
        raise BadMessageError("a message must be a JSON object")
    return message


def decode_parsed(message: dict[str, object], *, max_characters: int) -> Parsed:
    """Raises `BadMessageError` where a type is wrong or a range is outside the text."""
    text = message.get("text")
    if not isinstance(text, str) or len(text) > max_characters:
        raise BadMessageError(f"no text, or more than {max_characters} characters")
    try:
        parts = tuple(_part(values, len(text)) for values in cast("list[list[object]]", message["parts"]))
        boxes = tuple(_box(values, len(text)) for values in cast("list[list[object]]", message["boxes"]))
        meta = {str(key): _scalar(value) for key, value in cast("dict[str, object]", message["meta"]).items()}
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadMessageError(f"a malformed result: {error}") from error
    return Parsed(text=text, layout=Layout(parts=parts, boxes=boxes, lines=message.get("lines") is True), meta=meta)


def _part(values: list[object], length: int) -> Part:
    kind, start, end, name, level = values
    if kind not in _PART_KINDS or not isinstance(name, str) or not isinstance(level, int):
        raise ValueError(f"no such part: {values!r}")
    if kind in ("page", "slide"):
        int(name)  # `Document.locate` counts with it
    return Part(cast(PartKind, kind), *_range(start, end, length), name, level)


def _box(values: list[object], length: int) -> Box:
    start, end, page, *edges = values
    left, top, right, bottom = (float(cast(float, edge)) for edge in edges)
    return Box(*_range(start, end, length), int(cast(int, page)), left, top, right, bottom)


def _range(start: object, end: object, length: int) -> tuple[int, int]:
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start <= end <= length:
        raise ValueError(f"[{start!r}, {end!r}) is not in a text of {length}")
    return start, end


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"metadata must be scalar, got {type(value).__name__}")
