"""Mailboxes: many messages in one file, as Thunderbird and mail servers keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.load.base import Parsed
from rag.load.builder import Limits, TextBuilder
from rag.load.parsers.eml import read_letter, write_letter

_BORDER = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\n")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)  # a line of the text that would have been taken for a border


@dataclass(frozen=True, slots=True)
class MboxParser:
    """Message after message, each below its subject as a heading, attachments as in single messages.

    A message that is damaged is left out and counted in ``messages_unreadable``.
    """

    limits: Limits

    def parse(self, data: bytes, name: str) -> Parsed:
        builder = TextBuilder(self.limits)
        messages = [message for message in _BORDER.split(data) if message.strip()]
        unread = damaged = 0
        for raw in messages:
            try:
                letter = read_letter(_QUOTED.sub(rb"\1", raw))
            except ValueError:
                damaged += 1
                continue
            builder.heading(letter.headers["Subject"] or "no subject", 1)
            unread += write_letter(letter, builder)
            builder.break_lines(2)
        return builder.parsed(
            {
                "messages": len(messages),
                "messages_unreadable": damaged or None,
                "attachments_unread": unread or None,
            }
        )
