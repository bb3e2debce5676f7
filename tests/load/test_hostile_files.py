"""Every attack is an error of its own file, and the file after it still loads."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator

import pytest

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.formats import detect
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool

DOCUMENT = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
    "<w:t>{}</w:t></w:r></w:p></w:body></w:document>"
)
BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


def zipped(**members: str | bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def docx(text: str, *, head: str = "", **more: str | bytes) -> bytes:
    return zipped(**{"word/document.xml": head + DOCUMENT.format(text), **more})


def xlsx(workbook: str) -> bytes:
    return zipped(**{"[Content_Types].xml": "<Types/>", "xl/workbook.xml": workbook})


def encrypted(data: bytes) -> bytes:
    """With the flag of an encrypted member set in the local and in the central header."""
    flagged = bytearray(data)
    flagged[6] |= 1
    flagged[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(flagged)


ATTACKS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip bomb by ratio": ("a.docx", lambda: docx("x", **{"word/media.bin": b"\0" * 50_000_000}), "zip bomb"),
    "zip bomb by size": ("a.docx", lambda: docx("x" * 900_000, **{"word/a": b"ab" * 300_000}), "more than the limit"),
    "entity bomb in docx": ("a.docx", lambda: docx("&b;", head=BOMB), "document type"),
    "entity bomb in UTF-16": (
        "a.docx",
        lambda: zipped(**{"word/document.xml": (BOMB + DOCUMENT.format("&b;")).encode("utf-16")}),
        "document type",
    ),
    "external entity in docx": ("a.docx", lambda: docx("&b;", head=EXTERNAL), "document type"),
    "external entity in xlsx": ("a.xlsx", lambda: xlsx(EXTERNAL + "<workbook>&b;</workbook>"), "document type"),
    "path traversal": ("a.docx", lambda: docx("x", **{"../../evil.txt": "x"}), "leads out of the archive"),
    "absolute path": ("a.epub", lambda: zipped(**{"/etc/evil": "x"}), "leads out of the archive"),
    "too many members": ("a.docx", lambda: zipped(**{f"m{n}": "" for n in range(20_001)}), "20,001 members"),
    "encrypted zip": ("a.docx", lambda: encrypted(docx("x")), "encrypted"),
    "cut off zip": ("a.docx", lambda: docx("words " * 1000)[:-30], "damaged"),
    "zip of something else": ("a.docx", lambda: zipped(**{"a.txt": "x"}), "no docx"),
    "text named pdf": ("a.pdf", lambda: b"just words", "may be damaged"),
    "old Office file": ("a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old or encrypted Office"),
    "damaged pdf": ("a.pdf", lambda: b"%PDF-1.7\nnothing more", "damaged"),
    "endless text from few bytes": ("a.html", lambda: b"<p>" + b"x" * 1_200_000, "characters of text"),
}


@pytest.fixture(scope="module")
def small_pool() -> Iterator[ParserPool]:
    spec = ParseSpec(workers=1, timeout_seconds=20, max_unpacked_megabytes=1, max_characters=1_000_000)
    with ParserPool(spec) as pool:
        yield pool


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_a_clear_error_and_the_next_file_loads(attack: str, small_pool: ParserPool) -> None:
    name, make, said = ATTACKS[attack]
    data = make()
    bad = Source(id="bad", uri=f"in/{name}", name=name, read=lambda: data)
    good = Source(id="good", uri="in/good.html", name="good.html", read=lambda: b"<p>fine</p>")
    if attack == "zip bomb by ratio":  # the size alone would not stop it
        with ParserPool(ParseSpec(workers=1)) as pool:
            (_, error), (_, document) = list(pool.parse_all([bad, good]))
    else:
        (_, error), (_, document) = list(small_pool.parse_all([bad, good]))
    assert isinstance(error, SourceError)
    assert said in error.message
    assert error.source == f"in/{name}"
    assert not isinstance(document, SourceError)
    assert document.text == "fine"


def test_a_lying_size_in_a_zip_does_not_unpack_more_than_it_says(small_pool: ParserPool) -> None:
    data = docx("y" * 500_000)
    honest = (500_000 + len(DOCUMENT) - 2).to_bytes(4, "little")
    assert data.count(honest) == 2
    lying = data.replace(honest, (1000).to_bytes(4, "little"))
    with pytest.raises(SourceError, match=r"damaged|not well-formed"):
        small_pool.parse(Source(id="a", uri="a.docx", name="a.docx", read=lambda: lying))


def test_an_html_page_reads_no_file_through_an_entity(small_pool: ParserPool) -> None:
    page = (EXTERNAL + "<p>before &b; after</p>").encode()
    document = small_pool.parse(Source(id="a", uri="a.html", name="a.html", read=lambda: page))
    assert "root:" not in document.text
    assert "before" in document.text


@pytest.mark.parametrize("head", [b"<!---->" * 600 + b"x", b"<!--" * 1000, b" " * 4096, b"<?xml" * 800])
def test_telling_the_format_takes_no_time_whatever_the_beginning(head: bytes) -> None:
    started = time.process_time()
    assert detect(head, "a") == "text"
    assert time.process_time() - started < 0.1
