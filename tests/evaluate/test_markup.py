from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.markup import Markup, element, escaped, joined


class Read(HTMLParser):
    """What a parser makes of markup: tags with attributes, and the text between them."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b & c", Markup("<br>")) == "<p>a &lt; b &amp; c<br></p>"
    assert joined("<", element("b", ">")) == "&lt;<b>&gt;</b>"


def test_attributes_are_quoted_renamed_rounded_and_left_out() -> None:
    made = element("rect", class_='a"b', stroke_width=1.23456, x=-0.0, title=None)
    assert made == '<rect class="a&quot;b" stroke-width="1.23" x="0"></rect>'


def test_what_html_cannot_hold_and_what_turns_the_direction_is_replaced() -> None:
    assert escaped("a\ud800b\x00c\u202ed") == "a\ufffdb\ufffdc\ufffdd"
    assert escaped("a\tb\nc é 猫") == "a\tb\nc é 猫"


@given(st.text(st.characters(codec=None, exclude_categories=())), st.text(st.characters(codec=None)))
def test_no_text_becomes_a_tag_or_leaves_its_attribute(text: str, value: str) -> None:
    made = element("i", text, title=value)
    read = Read(made)
    assert [tag for tag, _ in read.tags] == ["i"]
    assert list(read.tags[0][1]) == ["title"]
    made.encode("utf-8")  # holds no lone surrogate
    assert isinstance(made, Markup)
