from __future__ import annotations

import pytest

from rag.cite.words import Source, Wording
from rag.text.analyze import Analyzer

TEXT = (
    "The bridge at Coalbrookdale was built in 1779 by Abraham Darby. It does not carry cars. "
    "A second bridge, opened in 1835, has 7 arches and is owned by the National Trust."
)


def wording(sentence: str, text: str = TEXT, context: str = "") -> Wording:
    return Source(text, Analyzer(), context=context).wording(sentence)


def test_recall_is_the_share_of_content_words_numbers_aside() -> None:
    # bridge, built, Coalbrookdale of bridge, built, Coalbrookdale, iron
    assert wording("The bridge built at Coalbrookdale in 1779 is iron.").recall == 3 / 4


@pytest.mark.parametrize(
    "sentence", ["Abraham Darby built the bridge in 1779.", "The bridge, built in 1779, was Darby's."]
)
def test_what_the_text_says_is_at_odds_with_nothing(sentence: str) -> None:
    found = wording(sentence)
    assert (found.missing, found.at_odds) == ((), False)


def test_a_number_counts_as_missing_where_the_text_gives_it_for_something_else() -> None:
    assert wording("The bridge at Coalbrookdale was built in 1780 by Abraham Darby.").missing == ("1780",)
    assert wording("The bridge at Coalbrookdale was built in 1835 by Abraham Darby.").missing == ("1835",)


def test_a_name_the_text_has_not_is_missing_unless_its_initials_or_headings_have_it() -> None:
    assert wording("The NT owns a bridge.").missing == ()
    assert wording("A bridge by Brunel has 7 arches.").missing == ("Brunel",)
    assert wording("A bridge by Brunel has 7 arches.", context="Bridges by Brunel").missing == ()


@pytest.mark.parametrize("sentence", ["It does carry cars.", "The bridge was not built by Abraham Darby."])
def test_a_denial_added_or_taken_away_is_contrary(sentence: str) -> None:
    assert wording(sentence).contrary != ()


def test_failing_is_not_taken_for_the_contrary_of_not_succeeding() -> None:
    assert wording("The launch failed.", "The launch did not succeed.").contrary == ()


def test_a_name_of_the_text_in_the_place_of_another_is_swapped() -> None:
    text = "Rome was sacked by Alaric in 410. Carthage fell later, to Gaiseric."
    assert wording("Rome was sacked by Gaiseric in 410.", text).swapped == ("Gaiseric",)
    assert wording("Rome was sacked by King Alaric in 410.", text).swapped == ()  # a title
    assert wording("In 410 Alaric sacked Rome.", text).swapped == ()  # another order


def test_a_text_without_words_supports_nothing() -> None:
    assert wording("Dogs bark.", "").recall == 0


def test_the_nearest_sentences_come_in_the_order_of_the_text() -> None:
    assert Source(TEXT, Analyzer()).nearest("A bridge with arches was built.", 2) == [
        "The bridge at Coalbrookdale was built in 1779 by Abraham Darby.",
        "A second bridge, opened in 1835, has 7 arches and is owned by the National Trust.",
    ]
