from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from rag.load.builder import Limits
from rag.load.parsers.html import HtmlParser
from rag.types import Document

Parse = Callable[[bytes, str], Document]


def text_of(html: str) -> str:
    return HtmlParser(Limits()).parse(html.encode(), "a.html").text


def test_scripts_navigation_and_footers_are_left_out() -> None:
    html = (
        "<html><head><title>T</title><script>bad()</script></head><body><nav>Home</nav><p>Words.</p>"
        "<article><p>More.</p><footer>By Ada</footer></article><footer>Imprint</footer><p hidden>no</p></body></html>"
    )
    assert text_of(html) == "Words.\n\nMore.\n\nBy Ada"


def test_a_page_of_navigation_alone_keeps_it() -> None:
    assert text_of("<nav><p>Home</p></nav>") == "Home"


def test_headings_lists_and_code_keep_their_form(parse: Parse) -> None:
    html = "<h2>One <b>two</b></h2><p>a<br>b</p><ol><li>x</li><li>y<ul><li>z</li></ul></li></ol><pre>\n  k = 1\n</pre>"
    document = parse(html.encode(), "a.html")
    assert document.text == "One two\n\na\nb\n\n1. x\n2. y\n  - z\n\n  k = 1"
    assert [(p.kind, document.text[p.start : p.end], p.level) for p in document.layout.parts] == [
        ("heading", "One two", 2),
        ("code", "  k = 1", 0),
    ]


def test_a_table_is_rows_and_a_table_for_layout_is_paragraphs() -> None:
    assert text_of("<table><tr><th>a<th>b<tr><td>1<td><ul><li>2<li>3</ul></table>") == "a | b\n1 | - 2 - 3"
    nested = "<table><tr><td><table><tr><td>x</td><td>y</td></tr></table></td><td><p>Words</p></td></tr></table>"
    assert text_of(nested).split() == ["x", "|", "y", "Words"]
    assert text_of(nested).count("|") == 1


def test_three_thousand_nested_elements_are_read(parse: Parse) -> None:
    html = "<div>" * 3000 + "deep text" + "</div>" * 3000
    assert parse(html.encode(), "a.html").text == "deep text"


def test_three_thousand_nested_tables_are_read(parse: Parse) -> None:
    assert "deep" in parse(("<table><tr><td>" * 3000 + "deep").encode(), "a.html").text


def test_bytes_follow_the_declared_charset_and_metadata_is_kept(parse: Parse) -> None:
    html = (
        '<html lang="pl"><head><meta charset="cp1250"><meta name="author" content="Ada"><title>Zażółć</title></head>'
        "<body>Zażółć gęślą jaźń</body></html>"
    )
    document = parse(html.encode("cp1250"), "a.html")
    assert document.text == "Zażółć gęślą jaźń"
    assert dict(document.meta) == {"title": "Zażółć", "author": "Ada", "language": "pl"}


tags = st.sampled_from(
    ["p", "div", "table", "tr", "td", "th", "ul", "ol", "li", "h1", "pre", "br", "span", "main", "nav"]
)
events = st.lists(st.one_of(tags.map("<{}>".format), tags.map("</{}>".format), st.text(max_size=5)), max_size=40)


@given(events)
def test_any_soup_of_tags_gives_parts_inside_the_text(soup: list[str]) -> None:
    parsed = HtmlParser(Limits()).parse("".join(soup).encode("utf-8", "replace"), "a.html")
    for part in parsed.layout.parts:
        assert 0 <= part.start < part.end <= len(parsed.text)
        assert part.kind != "heading" or parsed.text[part.start : part.end] == part.name
