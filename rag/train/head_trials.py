"""Questions with passages of which some are known to answer: what retrieval heads are looked for with."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset


@dataclass(frozen=True, slots=True)
class Trial:
    """A question, passages in the order they are shown, and which of them are relevant."""

    question: str
    passages: tuple[str, ...]
    gold: frozenset[int]


_NAMES = ("Alma", "Boris", "Clara", "Edith", "Farid", "Greta", "Hugo", "Irina", "Keiko", "Leon", "Nadia", "Otto")
_THINGS = ("lantern", "ledger", "compass", "violin", "passport", "teapot", "umbrella", "globe", "camera", "ladder")
_PLACES = ("attic", "cellar", "garden", "library", "stable", "harbour", "bakery", "chapel", "tower", "kitchen")


def synthetic_trials(count: int, *, passages: int, seed: int) -> list[Trial]:
    """Needles that are made up: who keeps what where. Each name and thing of the question stands in other passages too,
    but together in one alone."""
    draw = random.Random(seed)
    pairs = [(name, thing) for name in _NAMES for thing in _THINGS]
    trials = []
    for _ in range(count):
        chosen = draw.sample(pairs, min(passages, len(pairs)))
        texts = tuple(f"{name} keeps the {thing} in the {draw.choice(_PLACES)}." for name, thing in chosen)
        at = draw.randrange(len(chosen))
        name, thing = chosen[at]
        trials.append(Trial(f"Where does {name} keep the {thing}?", texts, frozenset({at})))
    return trials


def trials_from_file(path: Path, *, count: int) -> list[Trial]:
    """The first `count` lines of a JSONL file: ``{"question": "...", "passages": ["...", ...], "gold": [0]}``.

    Raises:
        ConfigError: a line that is something else, with its number.
    """
    trials = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines[:count], 1):
        try:
            values = json.loads(line)
            trial = Trial(values["question"], tuple(values["passages"]), frozenset(values["gold"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}:{number}: expected question, passages and gold: {error!r}") from error
        if not trial.gold or not trial.gold <= set(range(len(trial.passages))):
            raise ConfigError(f"{path}:{number}: gold must name some of the {len(trial.passages)} passages, from 0")
        trials.append(trial)
    return trials


def trials_of_dataset(dataset: Dataset, *, count: int, passages: int, seed: int) -> list[Trial]:
    """Questions of an evaluation set with their relevant documents among others drawn at random, shuffled.

    Raises:
        ConfigError: the set brings no documents.
    """
    if dataset.corpus is None:
        raise ConfigError(f"{dataset.path}: the set brings no documents", hint="a folder with corpus.jsonl, or JSONL")
    texts: dict[str, str] = {}
    with dataset.corpus.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            texts[str(row["_id"])] = "\n".join(filter(None, (row.get("title", ""), row.get("text", ""))))
    draw = random.Random(seed)
    everything = sorted(texts)
    judged = [question for question in dataset.questions if question.documents & texts.keys()]
    trials = []
    for question in draw.sample(judged, min(count, len(judged))):
        gold = sorted(question.documents & texts.keys())[: passages // 2]
        shown = gold + _others(everything, question.documents, passages - len(gold), draw)
        draw.shuffle(shown)
        places = frozenset(at for at, key in enumerate(shown) if key in question.documents)
        trials.append(Trial(question.text, tuple(texts[key] for key in shown), places))
    return trials


def _others(everything: Sequence[str], relevant: frozenset[str], count: int, draw: random.Random) -> list[str]:
    found = draw.sample(everything, min(len(everything), count + len(relevant)))
    return [key for key in found if key not in relevant][:count]
