"""Cuts text into plain words, the way corpus statistics count them.

A word is a run of letters, their marks and digits; all else separates, so that ``x-ray``, ``x ray`` and ``X-Ray`` are
the same two words and ``Obama's`` counts for ``Obama``. Scripts written without spaces, and hangul, whose particles
stick to words, give single characters: there, counting a phrase is counting a substring. Nothing is stemmed or left
out. Diacritics are kept.
"""

from __future__ import annotations

import re
from functools import cache
from unicodedata import is_normalized, normalize

from rag.text.analyze import HAN, HANGUL, KANA, LETTERS, UNSPACED

FORMAT = 1  # raised when the same text gives other words

_KEPT = "".join(chr(code) if chr(code).isalnum() else " " for code in range(128))
_FOLDED = _KEPT.lower()  # tables for `str.translate`: with `split` twice as fast as a regular expression


@cache
def _beyond_ascii() -> re.Pattern[str]:
    return re.compile(rf"{LETTERS}|[{HAN}{KANA}{HANGUL}{UNSPACED}]")


def words(text: str, *, lowercase: bool = True) -> list[str]:
    """The words of a text, in its order, after NFKC; case-folded unless `lowercase` is false.

    >>> words("The U.S. paid $3.14 for Zoë's X-ray")
    ['the', 'u', 's', 'paid', '3', '14', 'for', 'zoë', 's', 'x', 'ray']
    >>> words("東京 Tower", lowercase=False)
    ['東', '京', 'Tower']
    """
    if text.isascii():
        return text.translate(_FOLDED if lowercase else _KEPT).split()
    if not is_normalized("NFKC", text):
        text = normalize("NFKC", text)
    return _beyond_ascii().findall(text.casefold() if lowercase else text)
