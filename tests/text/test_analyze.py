from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.text import analyze
from rag.text.analyze import Analyzer

terms = Analyzer().terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Running dogs ran", ["run", "dog", "ran"]),
        ("What is the capital of France?", ["capit", "franc"]),
        ("Don't stop", ["stop"]),
        ("the dog's bone, the dogs’ bones", ["dog", "bone", "dog", "bone"]),
        ("C++ and C# but C", ["c++", "c#", "c"]),
        ("an x-ray", ["x-ray", "ray"]),
        ("X ray", ["x", "ray"]),
        ("a well-known fact", ["well", "known", "fact"]),
        ("pi is 3.14, not 3", ["pi", "3.14", "3"]),
        ("on 2024-05-01", ["2024-05-01", "2024", "05", "01"]),
        ("version 3.11.2", ["version", "3.11.2", "3", "11", "2"]),
        ("1,000 and 1,234,567.5 but 1,2", ["1000", "1234567.5", "1", "2"]),
        ("the U.S. army, e.g. tanks", ["u.s", "us", "armi", "e.g", "eg", "tank"]),
        ("COVID-19 vitamin C", ["covid-19", "covid", "19", "vitamin", "c"]),
        ("see example.com or me@example.com", ["see", "exampl", "com", "me", "exampl", "com"]),
        ("snake_case AT&T", ["snake", "case", "at&t"]),
        ("café Beyoncé naïve", ["cafe", "beyonc", "naiv"]),
        ("¨ \u0301 a", []),
        ("ﬁnal Ｆｕｌｌ", ["final", "full"]),
        ("Straße", ["strass"]),
        ("Собаки лают, ещё ёж", ["собак", "лают", "ещ", "еж"]),
        ("印度教徒", ["印", "印度", "度", "度教", "教", "教徒", "徒"]),
        ("中", ["中"]),
        ("カタカナの漢字", ["カタ", "タカ", "カナ", "ナの", "の漢", "漢", "漢字", "字"]),
        ("한국어 말", ["한국", "국어", "말"]),
        ("ภาษาไทย", ["ภาษ", "าษา", "ษาไ", "าไท", "ไทย"]),
        ("ไป", ["ไป"]),
        ("हिन्दी में", ["हिन्द", "म"]),
        ("", []),
        ("… — !?", []),
    ],
)
def test_text_becomes_these_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_a_code_and_its_spelling_without_punctuation_meet() -> None:
    assert set(terms("the US economy")) & set(terms("U.S."))
    assert set(terms("X-ray images")) & set(terms("ray"))
    assert set(terms("2024-05-01")) & set(terms("in 2024"))
    assert set(terms("印度")) <= set(terms("古印度教"))


def test_words_meet_with_and_without_their_diacritics() -> None:
    assert terms("Beyoncé’s cafés") == terms("Beyonce's cafes")
    assert terms("Ещё") == terms("еще")


def test_arabic_greek_and_hebrew_words_are_kept_whole_with_their_marks() -> None:
    assert len(terms("الكِتَاب الجديد")) == 2
    assert terms("σκύλος") == terms("σκύλου")
    assert terms("שָׁלוֹם עולם")[1] == "עולם"


def test_a_configured_language_stems_latin_script_and_keeps_english_stop_words() -> None:
    german = Analyzer("german")
    assert german.terms("die Häuser") == ["die", "haus"]
    assert german.terms("the was") == ["the", "was"]
    assert german.terms("собаки") == ["собак"]


def test_stemming_and_stop_words_can_be_left_out() -> None:
    assert Analyzer(stem=False).terms("the running dogs") == ["running", "dogs"]
    assert Analyzer(stopwords=False).terms("the running dogs") == ["the", "run", "dog"]


def test_an_unknown_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'klingon' \(known: auto, arabic"):
        Analyzer("klingon").terms("word")


def test_the_name_tells_analyzers_with_other_terms_apart() -> None:
    names = {
        Analyzer(language, stem=stem, stopwords=stopwords).name
        for language in ("auto", "german")
        for stem in (True, False)
        for stopwords in (True, False)
    }
    assert len(names) == 8
    assert re.fullmatch(r"terms-\d+/auto/snowball-\d+\.\d+/stopwords", Analyzer().name)


@given(st.text())
def test_any_text_gives_terms_without_space_and_in_folded_case(text: str) -> None:
    for term in terms(text):
        assert term
        assert not re.search(r"\s", term)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_takes_a_faster_way_to_the_same_terms(text: str) -> None:
    # A character outside ASCII takes the general way; alone between spaces it adds exactly one term.
    assert terms(text + " é") == [*terms(text), "e"]


@given(st.lists(st.sampled_from(["dogs", "U.S.", "x-ray", "印度教", "собаки", "3.14", "ไทย"]), max_size=6))
def test_words_apart_are_analyzed_apart(words: list[str]) -> None:
    assert terms(" ".join(words)) == [term for word in words for term in terms(word)]


def test_the_memory_for_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyze, "CACHED_WORDS", 10)
    analyzer = Analyzer(stem=False)
    assert analyzer.terms(" ".join(f"w{n}" for n in range(100))) == [f"w{n}" for n in range(100)]
    assert len(analyzer._terms) <= 10


def test_a_long_line_takes_linear_time() -> None:
    analyzer = Analyzer()

    def seconds(text: str) -> float:
        started = process_time()
        analyzer.terms(text)
        return process_time() - started

    for unit in ("a-", "x.", "1,000", "印", "a'", "e\u0301"):
        seconds(unit * 1000)
        assert seconds(unit * 80_000) < 40 * max(seconds(unit * 10_000), 0.005)
