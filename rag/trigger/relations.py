"""Which relation a question asks for, by its words."""

from __future__ import annotations

from collections.abc import Mapping

from rag.text.analyze import STOPWORDS
from rag.text.entities import named
from rag.text.words import words


def relation_words(question: str) -> list[str]:
    """The words of a question that are in no entity and no function words: what is asked.

    >>> relation_words("Who was the director of Titanic?")
    ['director']
    """
    entities = named(question)
    for entity in sorted(entities, key=len, reverse=True):
        question = question.replace(entity, " ")
    return telling(question)


def relation_of(question: str, relations: Mapping[str, float]) -> str | None:
    """The relation whose words the question has beside its entities; of several the one with most words.

    Of equally long ones the one of the highest threshold, which retrieves more.

    >>> relation_of("Who was the art director of Titanic?", {"director": 40, "art director": 9, "author": 100})
    'art director'
    """
    held = set(relation_words(question))
    fitting = [name for name in relations if held.issuperset(telling(name))]
    return max(fitting, key=lambda name: (len(telling(name)), relations[name]), default=None)


def telling(text: str) -> list[str]:
    """The distinct words that are neither function words nor single letters, in their order."""
    return [word for word in dict.fromkeys(words(text)) if word not in STOPWORDS and len(word) > 1]
