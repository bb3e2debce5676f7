"""E-mail: who, when, about what, and the text."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.errors import MessageError
from email.message import MIMEPart
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder, squeeze
from rag.load.decode import decode
from rag.load.parsers.html import write_html
from rag.types import Scalar

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


@dataclass(frozen=True, slots=True)
class EmlParser:
    """The headers a reader sees, then the plain text (or the HTML where there is none), then the attachments' names."""

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        try:
            # The parser keeps the type that its policy makes: an EmailMessage.
            message = BytesParser(policy=policy.default).parsebytes(data)
            headers = {name: squeeze(str(message.get(name, ""))) for name in _HEADERS}
            body = message.get_body(("plain", "html"))
            attachments = [squeeze(part.get_filename() or "") for part in message.iter_attachments()]
        except (MessageError, LookupError, AttributeError, TypeError) as error:
            raise ValueError(f"the message is damaged: {error}") from error
        builder = TextBuilder(self.limits)
        for header, value in headers.items():
            if value:
                builder.line(f"{header}: {value}")
        builder.break_lines(2)
        if body is not None:
            _write_body(body, builder)
        if named := [file_name for file_name in attachments if file_name]:
            builder.block("Attachments: " + ", ".join(named))
        return builder.parsed(_meta(headers))


def _write_body(body: MIMEPart, builder: TextBuilder) -> None:
    payload = body.get_payload(decode=True)
    text = decode(payload if isinstance(payload, bytes) else b"", body.get_content_charset() or "")
    if body.get_content_subtype() == "html":
        write_html(text, builder)
    else:
        builder.write(text.replace("\r\n", "\n").strip("\n"))


def _meta(headers: dict[str, str]) -> dict[str, Scalar]:
    meta: dict[str, Scalar] = {"title": headers["Subject"], "author": headers["From"], "to": headers["To"]}
    try:
        meta["created"] = parsedate_to_datetime(headers["Date"]).isoformat()
    except ValueError:  # no date, or one that no standard knows; the line in the text stays as it is
        meta["created"] = None
    return meta
