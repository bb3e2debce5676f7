"""Counts against texts read word by word, over histories of edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.index.counts import Count
from rag.index.derived import HEAD, DerivedFile
from rag.index.ngrams.files import Corpus, keep
from rag.index.ngrams.index import NgramIndex
from rag.text.words import words

TEXTS = {1: "the cat sat on the mat", 2: "the dog sat on the log", 3: "a cat and a dog"}


class Texts:
    """A corpus by document number, and how many of its texts were read."""

    def __init__(self, folder: Path, texts: dict[int, str], *, lowercase: bool = True) -> None:
        self.folder = folder
        self.texts = texts
        self.lowercase = lowercase
        self.read = 0

    def open(self, *, most: int = 500_000, tokens: int = 1 << 24) -> NgramIndex:
        corpus = Corpus(self.folder, "key", np.array(sorted(self.texts), np.int64), self._read, self.lowercase)
        return NgramIndex(keep(corpus, tokens=tokens), lowercase=self.lowercase, most=most)

    def files(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.safetensors"))

    def _read(self, numbers: Sequence[int]) -> Iterable[tuple[int, str]]:
        self.read += len(numbers)
        return [(number, self.texts[number]) for number in numbers]


def occurrences(text: str, phrase: str) -> list[int]:
    held, wanted = words(text), words(phrase)
    return [at for at in range(len(held)) if held[at : at + len(wanted)] == wanted]


def test_the_three_sentences_of_the_method_have_the_counts_worked_out_by_hand(tmp_path: Path) -> None:
    index = Texts(tmp_path, TEXTS).open()
    assert index.count("the") == Count(4)
    assert index.count("sat on") == Count(2)
    assert index.count("the log") == Count(1)
    assert index.count("mat the") == Count(0)  # over the end of a document
    assert index.count("elephant") == Count(0)
    assert index.documents_with("cat", "dog") == Count(1)
    assert index.documents_with("cat", "mat") == Count(1)
    assert index.documents_with("cat", "log") == Count(0)
    assert index.size == 17


def test_words_stand_where_the_method_says(tmp_path: Path) -> None:
    (segment,) = Texts(tmp_path, TEXTS).open().segments
    # Positions as in the text with one end after each of its first two documents.
    assert segment.positions([b"cat"], most=10)[0].tolist() == [1, 15]
    assert segment.positions([b"dog"], most=10)[0].tolist() == [8, 18]


@pytest.mark.parametrize(
    ("first", "second", "window", "pairs"),
    [
        ("cat", "dog", 3, 1),  # "cat and a dog": 3 words apart
        ("cat", "dog", 2, 0),
        ("dog", "cat", 3, 1),
        ("the", "sat", 2, 4),  # each "sat" has a "the" 2 before and 2 after
        ("the", "sat on", 1, 0),
        ("mat", "dog", 1000, 0),  # near, but in two documents
        ("a", "a", 2, 2),  # each with itself only: the other is 3 away
        ("a", "a", 3, 4),
    ],
)
def test_pairs_are_counted_within_the_window_and_the_document(
    tmp_path: Path, first: str, second: str, window: int, pairs: int
) -> None:
    assert Texts(tmp_path, TEXTS).open().cooccur(first, second, window=window) == Count(pairs)


def test_case_counts_only_where_asked_for(tmp_path: Path) -> None:
    texts = {1: "May may come in May."}
    assert Texts(tmp_path / "folded", texts).open().count("may") == Count(3)
    assert Texts(tmp_path / "kept", texts, lowercase=False).open().count("May") == Count(2)


def test_a_phrase_too_frequent_to_look_at_whole_gives_a_lower_bound_and_says_so(tmp_path: Path) -> None:
    index = Texts(tmp_path, {1: "so so so so so much"}).open(most=2)
    found = index.cooccur("so", "much", window=10)
    assert found == Count(2, exact=False)
    assert index.count("so") == Count(5)  # plain counts stay exact
    assert not index.cooccur("so", "so", window=0).absent


def test_a_phrase_without_a_word_is_refused(tmp_path: Path) -> None:
    index = Texts(tmp_path, TEXTS).open()
    with pytest.raises(ValueError, match="no word"):
        index.count("?!")
    with pytest.raises(ValueError, match="no word"):
        index.cooccur("cat", "", window=5)


def test_an_empty_corpus_counts_nothing(tmp_path: Path) -> None:
    index = Texts(tmp_path, {}).open()
    assert index.count("the") == Count(0)
    assert index.cooccur("the", "cat", window=5) == Count(0)


words_of_text = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)
steps = st.lists(st.tuples(st.sets(st.integers(0, 9)), st.lists(words_of_text, max_size=5)), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(steps, words_of_text.filter(bool), words_of_text.filter(bool), st.integers(0, 4), st.integers(4, 40))
def test_counts_after_any_history_are_those_of_the_texts_that_are_left(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[tuple[set[int], list[str]]],
    x: str,
    y: str,
    window: int,
    tokens: int,
) -> None:
    corpus = Texts(tmp_path_factory.mktemp("ngrams"), {})
    number = 0
    for removed, added in history:
        for at in removed & set(range(len(corpus.texts))):
            del corpus.texts[sorted(corpus.texts)[min(at, len(corpus.texts) - 1)]]
        for text in added:
            number += 1
            corpus.texts[number] = text
        index = corpus.open(tokens=tokens)
        held = [(occurrences(text, x), occurrences(text, y)) for text in corpus.texts.values()]
        assert index.count(x).value == sum(len(left) for left, _ in held)
        near = sum(abs(i - j) <= window for left, right in held for i in left for j in right)
        assert index.cooccur(x, y, window=window) == Count(near)
        assert index.documents_with(x, y) == Count(sum(bool(left and right) for left, right in held))


def test_only_new_texts_are_read_again(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, dict(TEXTS))
    corpus.open()
    corpus.texts[4] = "the cat"
    corpus.read = 0
    assert corpus.open().count("the") == Count(5)
    assert corpus.read == 1
    corpus.open()
    assert corpus.read == 1


def test_small_segments_are_joined_and_large_ones_left_alone(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, {1: "word " * 100})
    corpus.open()
    corpus.texts[2] = "word"
    corpus.open()
    assert corpus.files() == ["000001", "000002"]
    corpus.texts[3] = "word"
    corpus.open()
    assert corpus.files() == ["000001", "000003"]  # 2 and 3 together; 101 tokens are more than twice as large
    assert corpus.open().count("word") == Count(102)


def test_a_segment_with_many_deleted_words_is_made_anew_without_them(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, {1: "one " * 10, 2: "two " * 10, 3: "three"})
    corpus.open()
    size = (tmp_path / "000001.safetensors").stat().st_size
    del corpus.texts[1]
    index = corpus.open()
    assert index.count("one") == Count(0)
    assert index.count("two") == Count(10)
    assert (tmp_path / "000002.safetensors").stat().st_size < size
    assert corpus.files() == ["000002"]


def test_an_older_generation_does_not_throw_away_what_a_newer_one_has(tmp_path: Path) -> None:
    newer = Texts(tmp_path, {1: "one", 2: "two " * 50})
    newer.open()
    older = Texts(tmp_path, {1: "one"})
    assert older.open().count("two") == Count(0)
    newer.read = 0
    assert newer.open().count("two") == Count(50)
    assert newer.read == 0


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, dict(TEXTS))
    corpus.open()
    path = tmp_path / "000001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert corpus.open().count("the") == Count(4)
    assert corpus.open().count("the") == Count(4)


def test_to_open_looks_at_a_file_s_size_and_beginning_and_not_at_every_byte(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, {at: " ".join(f"w{at}x{word}" for word in range(200)) for at in range(1, 41)})
    corpus.open()
    path = tmp_path / "000001.safetensors"
    whole = path.read_bytes()
    assert len(whole) > 2 * HEAD
    read = corpus.read
    for damaged in (whole[:-1], b"\0" + whole[1:]):
        path.write_bytes(damaged)
        assert corpus.open().count("w7x3 w7x4") == Count(1)
    assert corpus.read == 3 * read
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert not DerivedFile(path, "").intact()
    corpus.open()
    assert corpus.read == 3 * read  # not seen


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from("ab"), max_size=40), min_size=1, max_size=4),
    copies=st.integers(1, 3),
    gone=st.integers(0, 3),
    start=st.integers(0, 40),
    length=st.integers(1, 40),
)
def test_phrases_longer_than_what_suffixes_are_sorted_by_are_counted_exactly(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], copies: int, gone: int, start: int, length: int
) -> None:
    held = dict(enumerate([" ".join(text) for text in texts * copies], 1))
    corpus = Texts(tmp_path_factory.mktemp("deep"), held)
    corpus.open()
    corpus.texts = {number: text for number, text in held.items() if number != gone}
    index = corpus.open()
    for phrase in (" ".join(texts[0][start : start + length]), " ".join([*texts[0], "a"])):
        if phrase:
            found = [occurrences(text, phrase) for text in corpus.texts.values()]
            assert index.count(phrase) == Count(sum(map(len, found)))
            assert index.documents_with(phrase, phrase) == Count(sum(map(bool, found)))


def test_a_document_that_two_processes_wrote_counts_once(tmp_path: Path) -> None:
    corpus = Texts(tmp_path, {1: "one " * 9})
    corpus.open()
    for name in ("000001.safetensors", "000001.json"):
        (tmp_path / name.replace("1", "2", 1)).write_bytes((tmp_path / name).read_bytes())
    assert len(corpus.files()) == 2
    assert corpus.open().count("one") == Count(9)


def test_counts_in_a_folder_that_cannot_be_written_to_are_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Texts(tmp_path / "file" / "ngrams", TEXTS).open().count("sat on") == Count(2)


def test_every_phrase_of_up_to_three_words_has_the_count_of_a_plain_tally(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    texts = {number: " ".join(f"w{rank}" for rank in draw.zipf(1.4, size=200) if rank < 60) for number in range(1, 41)}
    index = Texts(tmp_path, texts).open(tokens=2000)
    assert len(index.segments) > 1
    tally: Counter[str] = Counter()
    for text in texts.values():
        held = text.split()
        for length in (1, 2, 3):
            tally.update(" ".join(held[at : at + length]) for at in range(len(held) - length + 1))
    assert {phrase: index.count(phrase).value for phrase in tally} == tally
