"""Attention heads that were found to do something: lists that belong to one model, kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from rag.errors import ConfigError, ModelError
from rag.models.attention import Anatomy, DescribedModel, Head

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedHeads:
    """All heads of a model with their scores, best first.

    `method` says what the scores mean, `data` what they were measured on, `trials` on how many questions.
    """

    anatomy: Anatomy
    method: str
    data: str
    trials: int
    scores: tuple[tuple[Head, float], ...]

    def best(self, count: int) -> tuple[Head, ...]:
        return tuple(head for head, _ in self.scores[:count])

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        values = {
            "version": VERSION,
            **asdict(self.anatomy),
            "method": self.method,
            "data": self.data,
            "trials": self.trials,
            "scores": [[str(head), round(score, 6)] for head, score in self.scores],
        }
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> DetectedHeads:
        """Read a file of `save`.

        Raises:
            ConfigError: it cannot be read, or is no such file.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["version"] != VERSION:
                raise ConfigError(f"{path}: version {values['version']} of the format, this program reads {VERSION}")
            anatomy = Anatomy(**{name: values[name] for name in Anatomy.__dataclass_fields__})
            scores = tuple((head_of(name), float(score)) for name, score in values["scores"])
            return cls(
                anatomy=anatomy, method=values["method"], data=values["data"], trials=values["trials"], scores=scores
            )
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read: {error.strerror}", hint="`rag heads detect` makes it"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: expected a file of `rag heads detect`, found something else: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class BestOf:
    """The `count` best heads of a file, for the model it was made for."""

    path: Path
    count: int


Heads: TypeAlias = Sequence[Head] | BestOf | None
"""Heads by name, the best of a file, or all of the model's."""


def heads_for(model: object, heads: Heads) -> Sequence[Head] | None:
    """The heads to look at.

    Raises:
        ConfigError: the file cannot be read, or the model does not say which weights it has.
        ModelError: the file was made for other weights.
    """
    if not isinstance(heads, BestOf):
        return heads
    return detected_for(anatomy_of(model, asked_by=str(heads.path)), heads.path).best(heads.count)


def detected_for(anatomy: Anatomy, path: Path) -> DetectedHeads:
    """The heads of a file, which must have been found in these very weights.

    Raises:
        ConfigError: the file cannot be read.
        ModelError: it was made for other weights.
    """
    detected = DetectedHeads.load(path)
    if anatomy.weights != detected.anatomy.weights:
        raise ModelError(
            f"{path}: these heads are those of {detected.anatomy}, the pipeline's model is {anatomy}",
            hint=f"rag heads detect {anatomy.model} --out {path.name}",
        )
    return detected


def anatomy_of(model: object, *, asked_by: str) -> Anatomy:
    """What the model says of itself.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(model, DescribedModel):
        raise ConfigError(f"{asked_by}: {type(model).__name__} does not say which weights and heads it has")
    return model.anatomy


def head_of(name: str) -> Head:
    """A head by its name.

    >>> head_of("14-22")
    Head(layer=14, head=22)
    """
    layer, _, head = name.strip().partition("-")
    return Head(int(layer), int(head))
