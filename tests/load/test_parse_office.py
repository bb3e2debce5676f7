from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime

import openpyxl
import pytest

from rag.errors import SourceError
from rag.load.archive import resolve
from rag.types import Document

Parse = Callable[[bytes, str], Document]
Zipped = Callable[[Mapping[str, str]], bytes]
Sample = Callable[[str], bytes]

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def paragraph(text: str, inside: str = "") -> str:
    return f"<w:p>{inside}{run(text)}</w:p>"


def word(body: str) -> str:
    return f"<w:document {W} {MC}><w:body>{body}</w:body></w:document>"


def headings(document: Document) -> list[tuple[str, int]]:
    return [(part.name, part.level) for part in document.layout.parts if part.kind == "heading"]


def relations(**targets: str) -> str:
    items = "".join(
        f'<Relationship Id="{name}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for name, (kind, target) in ((name, value.split(" ")) for name, value in targets.items())
    )
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{items}</Relationships>'
    )


def test_word_headings_carry_the_numbers_word_shows(parse: Parse, sample: Sample) -> None:
    document = parse(sample("unit_test_headers_numbered.docx"), "a.docx")
    assert headings(document)[:3] == [("Test Document", 1), ("1. Section 1", 1), ("1.1. Section 1.1", 2)]


def test_a_merged_cell_of_a_word_table_stands_once(parse: Parse, sample: Sample) -> None:
    text = parse(sample("word_tables.docx"), "a.docx").text
    assert "Cell 1.0 | Merged Cell 1.1 1.2\n" in text
    assert "Header 0.0 | Header 0.1 | Header 0.2\nCell 1.0 | Cell 1.1 | Cell 1.2" in text


def test_equations_in_word_are_readable(parse: Parse, sample: Sample) -> None:
    assert "A=πr^2" in parse(sample("equations.docx"), "a.docx").text


def test_a_text_box_stored_for_two_versions_of_word_is_read_once(parse: Parse, zipped: Zipped) -> None:
    box = f"<w:txbxContent>{paragraph('In the box')}</w:txbxContent>"
    both = f"<mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
    both += f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent>"
    body = paragraph("Before", f"<w:r>{both}</w:r>") + paragraph("After")
    document = parse(zipped({"word/document.xml": word(body)}), "a.docx")
    assert document.text == "Before\n\nIn the box\n\nAfter"


def test_footnotes_follow_their_paragraph_and_deleted_text_is_gone(parse: Parse, zipped: Zipped) -> None:
    body = (
        f"<w:p>{run('Said')}<w:del><w:r><w:delText>not</w:delText></w:r></w:del><w:ins>{run(' so')}</w:ins>"
        '<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    )
    notes = f'<w:footnotes {W}><w:footnote w:id="2">{paragraph("By whom")}</w:footnote></w:footnotes>'
    document = parse(zipped({"word/document.xml": word(body), "word/footnotes.xml": notes}), "a.docx")
    assert document.text == "Said so\n\nNote 2: By whom"


def test_headers_are_not_in_the_body_and_an_empty_header_does_no_harm(parse: Parse, zipped: Zipped) -> None:
    members = {"word/document.xml": word(paragraph("Main")), "word/header1.xml": "", "word/styles.xml": "<broken"}
    assert parse(zipped(members), "a.docx").text == "Main"


def test_slides_are_parts_with_titles_tables_groups_and_notes(parse: Parse, zipped: Zipped) -> None:
    def shape(text: str, kind: str = "") -> str:
        mark = f'<p:nvPr><p:ph type="{kind}"/></p:nvPr>' if kind else "<p:nvPr/>"
        body = f"<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody>"
        return f"<p:sp><p:nvSpPr>{mark}</p:nvSpPr>{body}</p:sp>"

    def slide(shapes: str) -> str:
        return f"<p:sld {P} {A}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"

    cells = "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{t}</a:t></a:r></a:p></a:txBody></a:tc>" for t in "xy")
    table = f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr></a:tbl></p:graphicFrame>"
    group = f"<p:grpSp><p:grpSp>{shape('Deep inside')}</p:grpSp></p:grpSp>"
    members = {
        "ppt/presentation.xml": f'<p:presentation {P} {R}><p:sldIdLst><p:sldId id="256" r:id="r2"/>'
        '<p:sldId id="257" r:id="r1"/><p:sldId id="258" r:id="r3"/></p:sldIdLst></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(
            r1="slide slides/slide1.xml", r2="slide slides/slide2.xml", r3="slide slides/slide3.xml"
        ),
        "ppt/slides/slide1.xml": slide(shape("Second")),
        "ppt/slides/slide2.xml": slide(group + table + shape("7", "sldNum") + shape("The Title", "title")),
        "ppt/slides/slide3.xml": "<broken",
        "ppt/slides/_rels/slide2.xml.rels": relations(n="notesSlide ../notesSlides/notesSlide1.xml"),
        "ppt/notesSlides/notesSlide1.xml": slide(shape("Say hello", "body") + shape("2", "sldNum")),
    }
    document = parse(zipped(members), "a.pptx")
    assert document.text == "The Title\n\nDeep inside\n\nx | y\n\nNotes: Say hello\n\nSecond"
    assert headings(document) == [("The Title", 1)]
    assert str(document.locate(document.text.index("Second"), len(document.text))) == "slide 2"
    assert (document.meta["slides"], document.meta["slides_unreadable"]) == (3, 1)


def test_a_malformed_slide_does_no_harm(parse: Parse, sample: Sample) -> None:
    document = parse(sample("fake-power-point-malformed.pptx"), "a.pptx")
    assert "Problem Date Placeholder" in document.text


def test_sheets_are_parts_and_rows_are_lines(parse: Parse) -> None:
    workbook = openpyxl.Workbook()
    prices = workbook.active
    assert prices is not None
    prices.title = "Prices"
    prices.append(["Item", "Price", "Since"])
    prices.append(["Tea", 3.0, datetime(2024, 5, 1)])
    prices.append([])
    prices.append([None, True, None])
    workbook.create_sheet("Other")["C5"] = "far away"
    target = io.BytesIO()
    workbook.save(target)
    document = parse(target.getvalue(), "a.xlsx")
    assert document.text == "Item | Price | Since\nTea | 3 | 2024-05-01\n\n | TRUE\n\n |  | far away"
    assert str(document.locate(document.text.index("Tea"), document.text.index("Tea") + 3)) == "sheet Prices"
    assert document.locate(document.text.index("far"), len(document.text)).sheet == "Other"
    tables = [document.text[part.start : part.end] for part in document.layout.parts if part.kind == "table"]
    assert tables == ["Item | Price | Since\nTea | 3 | 2024-05-01", " | TRUE", " |  | far away"]


def test_opendocument_headings_lists_tables_and_notes(parse: Parse, zipped: Zipped) -> None:
    names = " ".join(f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in ("office", "text", "table"))
    body = (
        '<text:h text:outline-level="2">Head<text:s text:c="9"/>ing</text:h>'
        "<text:p>Words<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Small print</text:p>"
        "</text:note-body></text:note> here.</text:p>"
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="2000000000"/></table:table-row></table:table>'
    )
    content = f"<office:document-content {names}><office:body><office:text>{body}</office:text></office:body>"
    members = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": content + "</office:document-content>",
    }
    document = parse(zipped(members), "a.odt")
    assert document.text == "Head ing\n\nWords here.\n\nNote 1: Small print\n\n- one\n  - two\n\na"
    assert headings(document) == [("Head ing", 2)]


EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
    "OPS/book.opf": "<package><metadata><title>The Book</title><creator>Ada</creator></metadata><manifest>"
    '<item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="b" href="../b%20c.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/></manifest>'
    '<spine><itemref idref="b"/><itemref idref="n"/><itemref idref="a"/></spine></package>',
    "OPS/text/a.xhtml": "<html><body><h1>Last</h1><p>The end.</p></body></html>",
    "b c.xhtml": "<html><head><title>Opening</title></head><body><p>It began.</p></body></html>",
    "OPS/nav.xhtml": "<html><body><p>Contents</p></body></html>",
}


def test_chapters_come_in_the_order_of_the_spine(parse: Parse, zipped: Zipped) -> None:
    document = parse(zipped(EPUB), "a.epub")
    assert document.text == "It began.\n\nLast\n\nThe end."
    chapters = [part.name for part in document.layout.parts if part.kind == "chapter"]
    assert chapters == ["Opening", "Last"]
    assert dict(document.meta) == {"title": "The Book", "author": "Ada"}


def test_a_copy_protected_book_says_so(parse: Parse, zipped: Zipped) -> None:
    lock = '<encryption><EncryptedData><CipherReference URI="OPS/text/a.xhtml"/></EncryptedData></encryption>'
    with pytest.raises(SourceError, match="copy-protected"):
        parse(zipped({**EPUB, "META-INF/encryption.xml": lock}), "a.epub")


@pytest.mark.parametrize(
    ("folder", "target", "member"),
    [("ppt/slides", "../notes/n.xml", "ppt/notes/n.xml"), ("a", "/b/c.xml", "b/c.xml"), ("a", "../../../x", "x")],
)
def test_references_between_members_never_leave_the_archive(folder: str, target: str, member: str) -> None:
    assert resolve(folder, target) == member
