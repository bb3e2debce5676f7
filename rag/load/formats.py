"""Which parser reads a file: content first, then the name, because names lie."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rag.load.decode import is_binary

if TYPE_CHECKING:
    from rag.load.base import Parsed, Parser
    from rag.load.builder import Limits

PARSERS: dict[str, str] = {
    "text": "rag.load.parsers.text:TextParser",
    "markdown": "rag.load.parsers.markdown:MarkdownParser",
    "html": "rag.load.parsers.html:HtmlParser",
    "pdf": "rag.load.parsers.pdf:PdfParser",
    "docx": "rag.load.parsers.docx:DocxParser",
    "pptx": "rag.load.parsers.pptx:PptxParser",
    "xlsx": "rag.load.parsers.xlsx:XlsxParser",
    "odt": "rag.load.parsers.odt:OdtParser",
    "epub": "rag.load.parsers.epub:EpubParser",
    "csv": "rag.load.parsers.csv:CsvParser",
    "data": "rag.load.parsers.data:DataParser",
    "notebook": "rag.load.parsers.notebook:NotebookParser",
    "eml": "rag.load.parsers.eml:EmlParser",
    "mbox": "rag.load.parsers.mbox:MboxParser",
    "rtf": "rag.load.parsers.rtf:RtfParser",
    "image": "rag.load.parsers.image:ImageParser",
}
"""Format -> parser. "zip" is found out further inside the archive, where the limits hold."""

_SUFFIXES: dict[str, str] = {
    "text": "txt text log rst adoc asciidoc org tex srt vtt",
    "markdown": "md markdown mdown mkd mdx",
    "html": "html htm xhtml",
    "pdf": "pdf",
    "zip": "docx docm dotx pptx pptm ppsx xlsx xlsm xltx odt epub",
    "csv": "csv tsv tab",
    "data": "json jsonl ndjson yaml yml toml",
    "notebook": "ipynb",
    "eml": "eml",
    "mbox": "mbox mbx",
    "rtf": "rtf",
    "image": "png jpg jpeg tif tiff",
    "code": "py pyi js mjs cjs ts tsx jsx java kt kts scala go rs c h cc cpp cxx hpp hh cs swift m mm rb php pl pm "
    "lua r jl sh bash zsh fish ps1 bat sql graphql proto css scss less vue svelte dart ex exs erl hs ml mli clj lisp "
    "el vim cmake gradle groovy tf nix zig xml xsd xsl svg ini cfg conf properties diff patch",
}
SUFFIXES: dict[str, str] = {f".{suffix}": name for name, listed in _SUFFIXES.items() for suffix in listed.split()}
"""Suffix -> format. ``code`` is read as text; it is a name of its own so that connectors can tell it apart."""
PICTURES = frozenset(suffix for suffix, name in SUFFIXES.items() if name == "image")
"""What a connector lists only where pictures are read (`rag.resources.Resources.reads_pictures`)."""

_MEDIA_TYPES: dict[str, str] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "text/csv": "csv",
    "application/json": "data",
    "message/rfc822": "eml",
    "application/mbox": "mbox",
    "text/plain": "text",
}
# Possessive, and a comment ends at its first "-->": this runs outside the workers, on bytes of strangers.
_HTML = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>)?+\s*+(?:<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
_MAILBOX = re.compile(
    rb"From \S++ [^\n]{0,99}\d{4}[^\n]{0,9}\n(?:>From |[A-Za-z-]{1,40}+: )"
)  # Thunderbird's have no suffix
_PICTURE_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def detect(data: bytes, name: str, media_type: str = "") -> str:
    """The format of the bytes: a key of `PARSERS`, ``code`` or ``zip``. Looks at no more than the first kilobytes.

    Raises:
        ValueError: the format is not supported.
    """
    head = data[:4096]
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if head.startswith(_PICTURE_HEADS):
        return "image"
    if head.startswith(_OLE):
        raise ValueError("it is an old or encrypted Office file; save it as .docx, .pptx or .xlsx without a password")
    suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    named = SUFFIXES.get(suffix) or _MEDIA_TYPES.get(media_type.split(";")[0].strip().lower())
    if named in ("pdf", "zip", "image"):
        raise ValueError(f"it is named {suffix} but its content is not; it may be damaged")
    if is_binary(head):
        raise ValueError("it is a binary file of an unknown format")
    if named in (None, "text") and _HTML.match(head):
        return "html"
    if named is None and _MAILBOX.match(head):
        return "mbox"
    return named or "text"


def parse_bytes(data: bytes, name: str, media_type: str, limits: Limits) -> Parsed:
    """Read bytes with the parser of their format, in this process.

    Raises:
        ValueError: they cannot be read, or are a picture and no pictures are wanted.
    """
    found = detect(data, name, media_type)
    if found == "zip":
        from rag.load.archive import Archive

        found = Archive.open(data, limits).format()
    if found == "image" and limits.ocr == "off":
        raise ValueError("it is a picture")
    return make_parser(found, limits).parse(data, name)


def make_parser(name: str, limits: Limits) -> Parser:
    """The parser of one format, imported now."""
    module, _, attribute = PARSERS["text" if name == "code" else name].partition(":")
    parser: Parser = getattr(import_module(module), attribute)(limits)
    return parser
