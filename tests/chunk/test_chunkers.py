from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from rag.chunk.atoms import AtomCounter, Atoms
from rag.chunk.base import Chunker
from rag.chunk.fixed import FixedChunker
from rag.chunk.headings import HeadingsChunker
from rag.chunk.pack import Packing, Size
from rag.chunk.recursive import RecursiveChunker
from rag.chunk.sentence import SentenceChunker
from rag.chunk.topic import TopicChunker
from rag.chunk.whole import WholeChunker
from rag.embed.base import Tokenizer
from rag.embed.hash import WordTokenizer
from rag.types import Chunk, Document, Layout, Part


def document(text: str, parts: Sequence[Part] = ()) -> Document:
    return Document(id="d", text=text, layout=Layout(parts=tuple(parts)))


def spans(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.span.start, chunk.span.end) for chunk in chunks]


def texts(chunker: Chunker, text: str, parts: Sequence[Part] = ()) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(document(text, parts))]


def markdown(text: str) -> list[Part]:
    parts, at = [], 0
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            marks, _, name = line.strip().partition(" ")
            parts.append(Part("heading", at, at + len(line.rstrip()), name, len(marks)))
        at += len(line)
    return parts


WORDS = WordTokenizer()


def test_fixed_characters_stop_once_a_chunk_reaches_the_end() -> None:
    chunker = FixedChunker(WORDS, unit="characters", size=4, overlap=1)
    assert spans(chunker.chunk(document("abcdefghij"))) == [(0, 4), (3, 7), (6, 10)]


def test_fixed_words_overlap_by_words() -> None:
    chunker = FixedChunker(WORDS, unit="words", size=3, overlap=1)
    assert texts(chunker, "a b  c\nd e f g") == ["a b  c", "c\nd e", "e f g"]


def test_fixed_tokens_are_the_tokenizers_and_words_stay_whole(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    # tokenization = token + ##ization; two words of two tokens and one of one fill a window of five
    chunker = FixedChunker(tokenizer_by_name["wordpiece"], unit="tokens", size=5)
    assert texts(chunker, "the tokenization tokenization the the tokenization") == [
        "the tokenization tokenization",
        "the the tokenization",
    ]


def test_recursive_cuts_at_paragraphs_first() -> None:
    chunker = RecursiveChunker(WORDS, unit="characters", size=10)
    assert spans(chunker.chunk(document("A b.\n\nC d. E f."))) == [(0, 4), (6, 15)]


def test_recursive_merges_short_paragraphs_while_they_fit() -> None:
    chunker = RecursiveChunker(WORDS, unit="words", size=4)
    assert texts(chunker, "a b\n\nc\n\nd e f\n\ng") == ["a b\n\nc", "d e f\n\ng"]


def test_recursive_prefers_sentences_to_the_line_breaks_of_wrapped_text() -> None:
    text = (
        "This paragraph is wrapped at some forty to fifty\n"
        "characters. Its second sentence is the longer of\n"
        "both and goes on to the last line.\n"
    )
    chunker = RecursiveChunker(WORDS, unit="words", size=17)
    assert texts(chunker, text)[0].endswith("characters.")


def test_recursive_prefers_the_lines_of_a_list_to_sentences() -> None:
    chunker = RecursiveChunker(WORDS, unit="words", size=6)
    assert texts(chunker, "- One two. Three\n- Four five. Six\n") == ["- One two. Three", "- Four five. Six"]


def test_recursive_overlap_begins_at_the_earliest_border_within_it() -> None:
    chunker = RecursiveChunker(WORDS, unit="words", size=5, overlap=3)
    assert texts(chunker, "A b. C d. E f. G h.") == ["A b. C d.", "C d. E f.", "E f. G h."]


def test_an_overlap_that_leaves_no_room_for_the_next_piece_is_shortened() -> None:
    chunker = RecursiveChunker(WORDS, unit="words", size=4, overlap=3)
    assert texts(chunker, "A b. C d. E f g h.") == ["A b. C d.", "E f g h."]


def test_a_chunk_in_another_unit_never_exceeds_the_window(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizer_by_name["bytelevel"]
    text = "Käse und Brot sind gut. " * 20
    for chunker in (
        FixedChunker(tokenizer, unit="characters", size=100, overlap=20),
        FixedChunker(tokenizer, unit="words", size=50),
        RecursiveChunker(tokenizer, unit="characters", size=200),
        HeadingsChunker(tokenizer, unit="words", size=50),
    ):
        chunks = chunker.chunk(document(text))
        assert chunks
        assert max(tokenizer.count([chunk.text for chunk in chunks])) <= tokenizer.max_tokens


def test_whole_keeps_what_fits_and_cuts_the_rest(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    chunker = WholeChunker(tokenizer_by_name["wordpiece"])  # its window leaves 30 tokens
    assert texts(chunker, " the the\n\nthe ") == ["the the\n\nthe"]
    assert [len(text.split()) for text in texts(chunker, "the " * 70)] == [30, 30, 10]


def test_an_emoji_family_an_accent_and_a_flag_are_not_cut(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    family, accent, flag = "👩\u200d👩\u200d👧", "e\u0301", "🇩🇪"
    text = (family + accent + flag) * 30
    for tokenizer in tokenizer_by_name.values():
        for unit, size in (("characters", 12), ("tokens", 30)):
            chunker = FixedChunker(tokenizer, unit=unit, size=size)  # type: ignore[arg-type]  # a plain string here
            joined = "|".join(texts(chunker, text))
            assert joined.replace("|", "") == text
            for unit_of_reading in (family, accent, flag):
                assert joined.count(unit_of_reading) == 30


def test_a_word_longer_than_the_window_is_cut(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizer_by_name["wordpiece"]
    chunks = texts(RecursiveChunker(tokenizer, unit="tokens", size=10), "x" * 1000)
    assert "".join(chunks) == "x" * 1000
    assert max(tokenizer.count(chunks)) <= 10


def test_sections_are_not_crossed_without_merging() -> None:
    text = "# One\na b\n\n## Two\nc d\n\n## Three\ne f\n\n# Four\ng h\n"
    chunker = HeadingsChunker(WORDS, unit="words", size=20, merge=False)
    assert texts(chunker, text, markdown(text)) == ["# One\na b", "## Two\nc d", "## Three\ne f", "# Four\ng h"]


def test_merging_fills_a_chunk_with_siblings_and_children_only() -> None:
    text = "# One\na b\n\n## Two\nc d\n\n## Three\ne f\n\n# Four\ng h\n"
    chunker = HeadingsChunker(WORDS, unit="words", size=9)
    assert texts(chunker, text, markdown(text)) == ["# One\na b\n\n## Two\nc d", "## Three\ne f", "# Four\ng h"]
    # Three may not be followed by Four, which is above it, though both would fit


def test_a_heading_is_not_left_alone() -> None:
    body = "Alpha beta gamma delta. Epsilon zeta eta theta."
    text = f"# Top\n\n## Sub\n\n{body}\n"
    chunker = HeadingsChunker(WORDS, unit="words", size=9)
    assert texts(chunker, text, markdown(text)) == [
        "# Top\n\n## Sub\n\nAlpha beta gamma delta.",
        "Epsilon zeta eta theta.",
    ]


def test_a_table_that_fits_is_kept_whole() -> None:
    before, table = "Some text here. More text here.\n\n", "| a | b |\n| 1 | 2 |\n| 3 | 4 |\n"
    text = before + table
    parts = [Part("table", len(before), len(text))]
    chunker = HeadingsChunker(WORDS, unit="words", size=16)
    assert texts(chunker, text, parts) == [before.strip(), table.strip()]


def test_a_table_that_does_not_fit_keeps_its_header_with_the_first_row() -> None:
    table = "| name | price |\n" + "".join(f"| item{row} | {row} |\n" for row in range(6))
    chunker = HeadingsChunker(WORDS, unit="words", size=11)
    chunks = texts(chunker, table, [Part("table", 0, len(table))])
    assert chunks[0] == "| name | price |\n| item0 | 0 |"
    assert all(chunk.startswith("| item") for chunk in chunks[1:])


def test_slides_begin_chunks() -> None:
    first, second = "alpha beta\n\n", "gamma delta"
    parts = [Part("slide", 0, len(first), "1"), Part("slide", len(first), len(first + second), "2")]
    chunker = HeadingsChunker(WORDS, unit="words", size=3)
    assert texts(chunker, first + second, parts) == ["alpha beta", "gamma delta"]


def test_sentences_are_chunks_by_themselves_or_in_windows_that_overlap() -> None:
    text = "A b. C d?  E f!\nG h. I j."
    assert texts(SentenceChunker(WORDS), text) == ["A b.", "C d?", "E f!", "G h.", "I j."]
    assert texts(SentenceChunker(WORDS, sentences=2), text) == ["A b. C d?", "E f!\nG h.", "I j."]
    assert texts(SentenceChunker(WORDS, sentences=3, overlap=1), text) == ["A b. C d?  E f!", "E f!\nG h. I j."]
    assert texts(SentenceChunker(WORDS, sentences=3, overlap=2), "A b. C d.") == ["A b. C d."]


def test_a_sentence_longer_than_the_window_is_cut(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    chunker = SentenceChunker(tokenizer_by_name["wordpiece"])  # its window leaves 30 tokens
    assert [len(text.split()) for text in texts(chunker, "The. The " + "the " * 69)] == [1, 30, 30, 10]


@pytest.mark.parametrize("text", ["", " \n\t\u3000 "])
def test_a_document_without_text_has_no_chunks(text: str) -> None:
    for chunker in (
        FixedChunker(WORDS, unit="tokens", size=5),
        FixedChunker(WORDS, unit="characters", size=5),
        RecursiveChunker(WORDS, unit="tokens", size=5),
        HeadingsChunker(WORDS, unit="tokens", size=5),
        SentenceChunker(WORDS, sentences=3, overlap=2),
        TopicChunker(WORDS, unit="tokens", size=5),
        WholeChunker(WORDS),
    ):
        assert list(chunker.chunk(document(text))) == []


def test_words_that_are_remembered_are_bounded_and_long_lines_are_not_among_them(
    monkeypatch: pytest.MonkeyPatch, tokenizer_by_name: dict[str, Tokenizer]
) -> None:
    monkeypatch.setattr("rag.chunk.atoms.REMEMBERED_WORDS", 10)
    counter = AtomCounter(tokenizer_by_name["wordpiece"])
    for first in range(0, 60, 6):
        words = [f"a{number}" for number in range(first, first + 6)] + ["b" * 10_000]
        atoms = counter.atoms(" ".join(words), longest=1 << 62, most_tokens=32)
        assert atoms.tokens[:6].tolist() == [len(word) for word in words[:6]]  # every letter is a piece
        assert len(counter._known) <= 10
        assert max(map(len, counter._known)) <= 64


def test_a_long_single_line_takes_linear_time() -> None:
    from time import process_time

    chunker = RecursiveChunker(WORDS, unit="tokens", size=100)

    def seconds(words: int) -> float:
        text = "some words of a very long line " * (words // 7)
        start = process_time()
        chunks = chunker.chunk(document(text))
        assert all(a.span.end <= b.span.start for a, b in pairwise(chunks))
        return process_time() - start

    seconds(7_000)
    assert seconds(700_000) < 30 * seconds(70_000) + 0.5  # quadratic: a factor of 100


class Together:
    """Characters as tokens, of which a text of several has half as many again: every chunk is packed a second time."""

    max_tokens = 30

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at in range(len(text))]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text) if len(text) < 2 else len(text) + len(text) // 2 for text in texts]


def test_what_is_packed_a_second_time_is_looked_at_alone_so_that_a_long_word_takes_linear_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[int] = []
    init = Packing.__init__

    def noting(self: Packing, text: str, atoms: Atoms, size: Size) -> None:
        packed.append(len(atoms))
        init(self, text, atoms, size)

    monkeypatch.setattr(Packing, "__init__", noting)
    text = "abc/9+" * 500
    chunks = RecursiveChunker(Together(), unit="tokens", size=30).chunk(document(text))
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(Together().count([chunk.text for chunk in chunks])) <= 30
    assert packed[0] == 3000
    assert len(packed) > 100
    assert max(packed[1:]) <= 31  # the chunk that was too long, and the atom after it
