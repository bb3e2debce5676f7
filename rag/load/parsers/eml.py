"""E-mail: who, when, about what, the text, and what is attached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from email import policy
from email.errors import MessageError
from email.message import MIMEPart
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.decode import decode
from rag.load.formats import parse_bytes
from rag.load.parsers.html import write_html
from rag.types import Scalar

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_KEPT_PARTS = ("heading", "table", "code")  # pages and slides would be taken for those of the message
_SIGNATURES = ("pgp-signature", "pkcs7-signature", "x-pkcs7-signature")
_DEEPEST = 5  # a message attached to a message attached to ...


@dataclass(frozen=True, slots=True)
class EmlParser:
    """The headers a reader sees, then the plain text (or the HTML where there is none), then the attachments.

    What is attached is read by the parser of its format, below its name as a heading. One that cannot be read, such as
    a picture, is only named, and counted in ``attachments_unread``.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        builder = TextBuilder(self.limits)
        letter = read_letter(data)
        unread = write_letter(letter, builder)
        return builder.parsed(_meta(letter.headers) | {"attachments_unread": unread or None})


@dataclass(frozen=True, slots=True)
class Letter:
    """A message taken apart; `attachments` are those with names."""

    headers: dict[str, str]
    body: MIMEPart | None
    attachments: list[tuple[str, MIMEPart]]


def read_letter(data: bytes) -> Letter:
    """
    Raises:
        ValueError: the message is damaged.
    """
    # The parser keeps the type that its policy makes: an EmailMessage.
    return _letter(BytesParser(policy=policy.default).parsebytes(data))


def write_letter(letter: Letter, builder: TextBuilder, *, depth: int = 0) -> int:
    """Append a message with its attachments; returns how many of these could not be read.

    Raises:
        ValueError: the text grows over the limit.
    """
    for header, value in letter.headers.items():
        if value:
            builder.line(f"{header}: {value}")
    builder.break_lines(2)
    if letter.body is not None:
        _write_body(letter.body, builder)
    if letter.attachments:
        builder.block("Attachments: " + ", ".join(name for name, _ in letter.attachments))
    return sum(_write_attachment(name, part, builder, depth + 1) for name, part in letter.attachments)


def _letter(message: MIMEPart) -> Letter:
    try:
        headers = {name: _header(message, name) for name in _HEADERS}
        body = message.get_body(("plain", "html"))
        parts = list(message.iter_attachments()) if message.is_multipart() or body is not None else [message]
        attachments = [(_name(part), part) for part in parts]
        return Letter(headers, body, [each for each in attachments if each[0]])
    except (MessageError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the message is damaged: {error}") from error


def _header(message: MIMEPart, name: str) -> str:
    """What a header says, as it stands where the standard library fails on it."""
    try:
        return squeeze(str(message.get(name, "")))
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        return squeeze(next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""))


def _name(attachment: MIMEPart) -> str:
    """The name of its file, or the subject of an attached message."""
    name = attachment.get_filename()
    if not name and (message := _attached_message(attachment)) is not None:
        name = _header(message, "Subject") or "attached message"
    return squeeze(name or "")


def _write_body(body: MIMEPart, builder: TextBuilder) -> None:
    payload = body.get_payload(decode=True)
    text = decode(payload if isinstance(payload, bytes) else b"", body.get_content_charset() or "")
    if body.get_content_subtype() == "html":
        write_html(text, builder)
    else:
        builder.write(text.replace("\r\n", "\n").strip("\n"))


def _write_attachment(name: str, part: MIMEPart, builder: TextBuilder, depth: int) -> int:
    """How many attachments in it, itself included, could not be read."""
    if part.get_content_subtype() in _SIGNATURES:
        return 0
    try:
        message = _attached_message(part)
        content = _parsed(name, part, builder.limits) if message is None else _letter(message)
    except ValueError:  # counted; the message itself is read
        return 1
    if isinstance(content, Letter):
        if depth > _DEEPEST:
            return 1
        builder.heading(name, 1)
        return write_letter(content, builder, depth=depth)
    builder.heading(name, 1)
    start, _ = builder.block(content.text)
    builder.parts += [
        replace(found, start=found.start + start, end=found.end + start, level=min(found.level + 1, 6))
        for found in content.layout.parts
        if found.kind in _KEPT_PARTS
    ]
    builder.break_lines(2)
    return 0


def _attached_message(part: MIMEPart) -> MIMEPart | None:
    payload = part.get_payload()
    inner = payload[0] if isinstance(payload, list) and payload else None
    return inner if part.get_content_type() == "message/rfc822" and isinstance(inner, MIMEPart) else None


def _parsed(name: str, part: MIMEPart, limits: Limits) -> Parsed:
    """Raises `ValueError` where there is no text in it."""
    payload = part.get_payload(decode=True)
    parsed = parse_bytes(payload if isinstance(payload, bytes) else b"", name, part.get_content_type(), limits)
    if not parsed.text.strip():
        raise ValueError("there is no text in it")
    return parsed


def _meta(headers: dict[str, str]) -> dict[str, Scalar]:
    meta: dict[str, Scalar] = {"title": headers["Subject"], "author": headers["From"], "to": headers["To"]}
    try:
        meta["created"] = parsedate_to_datetime(headers["Date"]).isoformat()
    except (ValueError, OverflowError):  # no date, or one of no calendar; the line in the text stays as it is
        meta["created"] = None
    return meta
