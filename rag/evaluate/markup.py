"""HTML and SVG put together so that no text can become markup: what is not `Markup` is escaped, always."""

from __future__ import annotations

import html
import re

# What HTML cannot hold (control characters but tab and line breaks, lone surrogates, noncharacters), and the characters
# that turn the direction of what follows, with which a document could disguise the text around it.
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
_VOID = frozenset({"br", "col", "meta"})


class Markup(str):
    """Text that is markup already. Made by `element` and `joined`, and of constants."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Text as markup, also inside a quoted attribute; characters that HTML cannot hold become U+FFFD.

    >>> escaped('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def joined(*parts: str) -> Markup:
    """Markup and texts one after the other, the texts escaped."""
    return Markup("".join(map(escaped, parts)))


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element with its children, texts among them escaped.

    Attributes of ``None`` are left out; ``_`` in a name stands for ``-``, at its end for nothing, so that ``class_``
    can be written. Numbers are rounded to hundredths.

    >>> element("a", "x < y", href="#1", class_="note", tabindex=None)
    '<a href="#1" class="note">x &lt; y</a>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def _value(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else f"{round(value, 2) + 0.0:g}"
