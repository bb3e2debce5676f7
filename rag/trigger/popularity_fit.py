"""Thresholds of popularity from a file of questions that were answered both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rag.errors import ConfigError
from rag.trigger.popularity_scores import Fit, Outcome, accuracy, fit_by_relation, held_out


class Row(BaseModel):
    """One line of the file: a question, its relation if it has one, and whether its answers were right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    relation: str = ""
    from_memory: bool
    with_retrieval: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """Thresholds, and the share of right answers of the `tested` questions that they were not fitted on.

    `never` and `always` are those of retrieving for none and for all of these; `nameless` counts the questions of the
    file that name nothing, which are always retrieved for and left out.
    """

    thresholds: Mapping[str, Fit]
    tested: int
    right: float
    never: float
    always: float
    nameless: int


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file.

    Raises:
        ConfigError: a line is not such a row, or there is none; with the number of the line.
    """
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(Row.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            raise ConfigError(
                f"{path}:{number}: expected an object with `question`, `from_memory` and `with_retrieval`: {error}",
                hint="`from_memory` and `with_retrieval` say whether the answer was right; `relation` is optional",
            ) from error
    if not rows:
        raise ConfigError(f"{path}: there are no questions in it")
    return rows


def fit_rows(rows: Sequence[Row], popularity: Callable[[str], float | None]) -> Fitted:
    """A threshold for each relation and one for all others, fitted on three quarters of each relation's questions.

    Args:
        popularity: of a question's subject; ``None`` where the question names nothing.

    Raises:
        ConfigError: no question names anything, or too few to hold any out.
    """
    outcomes: list[tuple[str, Outcome]] = []
    for row in rows:
        known = popularity(row.question)
        if known is not None:
            outcomes.append((row.relation, Outcome(known, row.from_memory, row.with_retrieval)))
    fit, test = held_out(outcomes)
    if not test:
        raise ConfigError(
            f"{len(outcomes)} of {len(rows)} questions name something: too few to hold a quarter of a relation out",
            hint="four questions of one relation are the least, hundreds are sensible",
        )
    thresholds = fit_by_relation(fit)
    right = accuracy(test, thresholds)
    never = sum(each.from_memory for _, each in test) / len(test)
    always = sum(each.with_retrieval for _, each in test) / len(test)
    return Fitted(thresholds, len(test), right, never, always, len(rows) - len(outcomes))
