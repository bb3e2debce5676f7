"""What a question asks for, and which sentences have it."""

from __future__ import annotations

import pytest

from rag.generate.expected import Kind, expected_by, has


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When does leave lapse?", "time"),
        ("In what year was the barn built?", "time"),
        ("В каком году построили амбар?", "time"),
        ("这座桥是哪年建成的？", "time"),
        ("How many days of leave do I get?", "number"),
        ("What percentage is paid?", "number"),
        ("Сколько дней отпуска?", "number"),
        ("有多少人参加？", "number"),
        ("Who answers?", "name"),
        ("In which city is the office?", "name"),
        ("Кто отвечает?", "name"),
        ("Why is the lake empty?", None),
        ("What does the team do when it rains?", "time"),  # a word is all that is looked at
        ("Wem gehört das Haus?", None),  # no language that it was measured in
        ("", None),
    ],
)
def test_the_question_word_says_what_is_asked_for(question: str, kind: Kind | None) -> None:
    assert expected_by(question) == kind


@pytest.mark.parametrize(
    ("kind", "question", "text", "there"),
    [
        ("time", "When did it burn?", "It burned in March.", True),
        ("time", "When did it burn?", "It burned in 1890.", True),
        ("time", "When did it burn after 1890?", "In 1890 it stood.", False),  # the question's own year
        ("time", "When did it burn?", "It burned down.", False),
        ("time", "Когда он сгорел?", "Он сгорел в марте.", True),
        ("time", "桥是哪年建成的？", "桥于1930年建成。", True),
        ("time", "桥是哪年建成的？", "桥年久失修。", False),
        ("number", "How many sat there?", "Twenty sat there.", True),
        ("number", "How many of 5 sat there?", "5 sat there.", False),
        ("number", "Сколько дней?", "Две недели.", True),
        ("name", "Who built it?", "It was built by Ann.", True),
        ("name", "Who built it?", "Ann Lee built it.", True),
        ("name", "Who built it?", "Builders built it.", False),  # a capital that any first word has
        ("name", "Who was Ann?", "There was Ann.", False),
        ("name", "谁建的？", "安建的。", False),  # a script without capitals
        ("name", "Кто построил?", "Построил его Иван.", True),
    ],
)
def test_a_sentence_has_it_where_it_has_more_of_it_than_the_question(
    kind: Kind, question: str, text: str, there: bool
) -> None:
    assert has(kind, text, question=question) == there
