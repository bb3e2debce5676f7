"""Synthetic recall over chunks: what the micro model is trained and measured on.

A context is a list of chunks, texts of a few short sentences about made-up people and places. Its questions are of
three kinds: `one` is answered by one sentence, `two` needs a person's home from one chunk and what is said about that
place in another, `reference` needs the chunk before the one the answer stands in, whose "It" names a place only there.
All words are listed here, so the tokenizer's vocabulary is closed; names are made of random syllables.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["one", "two", "reference"]
KINDS: tuple[Kind, ...] = ("one", "two", "reference")

SOURCES = 20
"""How many sources a prompt may have: their numbers are words of the vocabulary."""
FACTS = 64
"""How many facts a context may have; the names do not run out before."""
CONTENT_FREE = "N/A"
"""A question that asks nothing, to calibrate attention by; the model is taught to answer it with `NOTHING`."""
NOTHING = "nothing"
SYSTEM = "Answer from the sources."
PROMPT = Path(__file__).parent / "prompts" / "micro.md"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer, which stands in chunk `gold[-1]` at code points `span`.

    `gold` are the indices of the chunks it needs, in the order of the hops; `bridge` is the place that joins two hops.
    """

    kind: Kind
    text: str
    answer: str
    gold: tuple[int, ...]
    span: tuple[int, int]
    bridge: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """Chunks in the order of the prompt and everything that can be asked about them."""

    chunks: tuple[str, ...]
    questions: tuple[Question, ...]


def _names(count: int, ending: str, seed: int) -> tuple[str, ...]:
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(2)) + ending] = None
    return tuple(found)


PEOPLE = tuple(name.capitalize() for name in _names(48, "n", 1))
PLACES = tuple(name.capitalize() for name in _names(40, "ria", 2))
HEROES = tuple(name.capitalize() for name in _names(40, "x", 3))
GOODS = _names(40, "l", 4)
FOODS = _names(40, "m", 5)
BEASTS = _names(24, "k", 6)
FILLERS = ("Rain fell today.", "The night was long.", "Today was a good day.", "The day was short.")

VALUES = {"inhabits": PLACES, "eats": FOODS, "sells": GOODS, "honours": HEROES, "fears": BEASTS}
ASKED = {
    "inhabits": "Where does {} live?",
    "eats": "What does {} eat?",
    "sells": "What does {} sell?",
    "honours": "Whom does {} honour?",
    "fears": "What does {} fear?",
}
HOME = "the home of {}"


def words() -> tuple[str, ...]:
    """The vocabulary but for the special tokens, in a fixed order."""
    plain = " ".join((SYSTEM, *FILLERS, *VALUES, HOME, *ASKED.values(), "It")).replace("{}", " ")
    for mark in ".?":
        plain = plain.replace(mark, f" {mark} ")
    found = dict.fromkeys(plain.split())
    found |= dict.fromkeys(("Question:", "Answer:", CONTENT_FREE, NOTHING, "</source>"))
    found |= dict.fromkeys(map(tag, range(SOURCES)))
    found |= dict.fromkeys(f"[{number}]" for number in range(1, SOURCES + 1))
    found |= dict.fromkeys((*PEOPLE, *PLACES, *HEROES, *GOODS, *FOODS, *BEASTS))
    return tuple(found)


def make_context(
    rng: random.Random, chunks: int, *, facts: tuple[int, int] = (3, 5), references: float = 0.3, alike: bool = False
) -> Context:
    """Draw a context; its chunks have 8 to 24 words where `facts` is as it is.

    Args:
        facts: the least and the most sentences of a chunk, fillers and references not counted; fewer where many
            chunks would take more than there are names for.
        references: the share of chunks that begin with a sentence about the place named last in the chunk before.
        alike: let all sentences say the same of different subjects, so that only the subject tells them apart.

    Raises:
        ValueError: no chunk, or more than `SOURCES`.
    """
    if not 1 <= chunks <= SOURCES:
        raise ValueError(f"{chunks} chunks: expected 1 to {SOURCES}")
    most = min(facts[1], (len(PLACES) if alike else FACTS) // chunks)
    sizes = [rng.randint(min(facts[0], most), most) for _ in range(chunks)]
    drawn = _facts(rng, sum(sizes), alike=alike)
    sentences: list[list[tuple[str, str, str]]] = []
    for size in sizes:
        sentences.append(drawn[:size])
        del drawn[:size]
    beasts = rng.sample(BEASTS, len(BEASTS))
    texts: list[str] = []
    said: dict[tuple[str, str], _Said] = {}
    place: str | None = None  # named last in the chunk before
    for number, facts_here in enumerate(sentences):
        text = ""
        if place and (place, "fears") not in said and rng.random() < references:
            beast = beasts.pop()
            text = f"It fears {beast}. "
            said[place, "fears"] = _Said(beast, len(text) - 2, (number - 1, number))
        place = None
        for subject, relation, value in facts_here:
            text += f"{subject} {relation} {value}. "
            said[subject, relation] = _Said(value, len(text) - 2, (number,))
            place = value if relation == "inhabits" else subject if relation in ("sells", "honours") else place
        if rng.random() < 0.4 or len(facts_here) < 3:
            text += rng.choice(FILLERS)
        texts.append(text.strip())
    return Context(tuple(texts), tuple(_questions(said)))


def _facts(rng: random.Random, count: int, *, alike: bool) -> list[tuple[str, str, str]]:
    """Sentences as (subject, relation, value) in random order; no value occurs twice but homes."""
    people, places = (rng.sample(pool, len(pool)) for pool in (PEOPLE, PLACES))
    values = {
        relation: rng.sample(VALUES[relation], len(VALUES[relation])) for relation in ("eats", "sells", "honours")
    }
    drawn: list[tuple[str, str, str]] = []
    if alike:
        relation = rng.choice(("inhabits", "eats", "sells", "honours"))
        subjects = people if relation in ("inhabits", "eats") else places
        objects = places if relation == "inhabits" else values[relation]
        return [(subjects.pop(), relation, objects.pop()) for _ in range(count)]
    while len(drawn) < count:
        place = places.pop()
        group = [(place, kept, values[kept].pop()) for kept in rng.sample(("sells", "honours"), rng.choice((1, 1, 2)))]
        for _ in range(rng.choice((1, 1, 2))):
            person = people.pop()
            group.append((person, "inhabits", place))
            if rng.random() < 0.4:
                group.append((person, "eats", values["eats"].pop()))
        drawn += group
    drawn = drawn[:count]
    rng.shuffle(drawn)
    return drawn


@dataclass(frozen=True, slots=True)
class _Said:
    """What the text says of a subject; `end` is where `value` ends in chunk `gold[-1]`."""

    value: str
    end: int
    gold: tuple[int, ...]

    def question(self, kind: Kind, text: str) -> Question:
        return Question(kind, text, self.value, self.gold, (self.end - len(self.value), self.end))


def _questions(said: Mapping[tuple[str, str], _Said]) -> list[Question]:
    asked: list[Question] = []
    for (subject, relation), fact in said.items():
        asked.append(fact.question("reference" if relation == "fears" else "one", ASKED[relation].format(subject)))
        if relation != "inhabits":
            continue
        for second in ("sells", "honours"):
            other = said.get((fact.value, second))
            if other and other.gold != fact.gold:
                hop = other.question("two", ASKED[second].format(HOME.format(subject)))
                asked.append(replace(hop, gold=fact.gold + other.gold, bridge=fact.value))
    return asked


def evidence(chunks: Sequence[str]) -> str:
    """The chunks as the generate stage renders evidence; the tokenizer drops where a source comes from."""
    return "\n".join(f'{tag(at)} from="chunk {at + 1}">\n{text}\n</source>' for at, text in enumerate(chunks))


def tag(chunk: int) -> str:
    """How the source with this index begins, which is one token; what follows in the tag is none."""
    return f'<source id="{chunk + 1}"'


def head(chunks: Sequence[str]) -> str:
    """The prompt up to the question, as the chat template lays it out."""
    return f"{SYSTEM}\n{evidence(chunks)}\n\n"


def tail(question: str) -> str:
    """The prompt from the question to the cue after which the model answers."""
    return f"Question: {question}\nAnswer:"


def reply(question: Question) -> str:
    """The answer the model is taught: the value and the number of the source it stands in."""
    return f"{question.answer} [{question.gold[-1] + 1}]"
