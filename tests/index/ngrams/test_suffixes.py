from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.ngrams import suffixes
from rag.index.ngrams.suffixes import END, suffix_array

documents = st.lists(st.lists(st.integers(1, 3), max_size=30), min_size=1, max_size=6)


def tokens_of(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in [*document, END]]


@given(
    documents, st.integers(1, 5), st.sampled_from([3, 2**31 - 1]), st.sampled_from([2, 7, 1 << 16]), st.integers(1, 40)
)
def test_suffixes_stand_in_the_order_of_what_they_spell_up_to_a_depth_or_their_document_s_end(
    texts: list[list[int]], copies: int, highest: int, stretch: int, least: int
) -> None:
    tokens = tokens_of(texts * copies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffixes, "STRETCH", stretch)  # small: ties are sorted in many parts
        found, depth = suffix_array(np.array(tokens, np.int32), highest=highest, least=least)

    def spelt(start: int) -> list[int]:
        return tokens[start : tokens.index(END, start)][:depth]

    assert depth >= least
    assert sorted(found) == list(range(len(tokens)))
    spellings = [spelt(start) for start in found]
    assert spellings == sorted(spellings)


def test_numbers_too_wide_to_pack_two_words_are_sorted_by_doubling_from_one() -> None:
    wide = 2**31 - 1
    tokens = np.array([wide, 7, wide, 7, wide, END], np.int32)
    suffixes, depth = suffix_array(tokens, highest=wide)
    assert (suffixes.tolist(), depth) == ([5, 3, 1, 4, 2, 0], 8)


def test_a_document_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="end last"):
        suffix_array(np.array([1, 2], np.int32), highest=2)
