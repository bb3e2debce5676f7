"""When two short answers say the same, as SQuAD compares them, for any script."""

from __future__ import annotations

import re
import string
from unicodedata import category, normalize

from rag.text.analyze import HAN, KANA, UNSPACED

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ONE_BY_ONE = re.compile(f"([{HAN}{KANA}{UNSPACED}])")  # scripts written without spaces: a character is a token


def tokens(text: str) -> list[str]:
    """The words of a normalised text: lower case, no punctuation, no English article, one token a Chinese character.

    Punctuation goes without leaving a space, as in SQuAD's script; Unicode's counts, and full-width letters and digits
    are plain ones (NFKC). Chinese, Japanese, Thai and other scripts without spaces are compared character by character,
    as in CMRC 2018 (arXiv 1810.07366).

    >>> tokens("The Eiffel-Tower!"), tokens("《战国无双３》")
    (['eiffeltower'], ['战', '国', '无', '双', '3'])
    """
    folded = normalize("NFKC", text).lower()
    kept = "".join(c for c in folded if c not in string.punctuation and not category(c).startswith("P"))
    return _ONE_BY_ONE.sub(r" \1 ", _ARTICLES.sub(" ", kept)).split()
