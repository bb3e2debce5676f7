"""Training rows: a context and many questions, each of which sees the context and itself alone.

That is what a prompt with one question is, but the context is read once for all of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from microlm import data
from microlm.data import Context, Kind, Question
from microlm.tokenizer import PIECES, UNREAD

IGNORED = -100
"""As a target: nothing is to be said here."""
KNOWN = ("subject", "source", "bridge", "cited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of the curriculum.

    `alike` is the share of contexts whose sentences all say the same of different subjects, `mix` the weights by which
    kinds are drawn, `until` the shares of right answers at which training moves on.
    """

    chunks: tuple[int, int]
    facts: tuple[int, int]
    alike: float = 0.0
    references: float = 0.0
    mix: Mapping[Kind, float]
    questions: int
    until: Mapping[Kind, float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length; all tensors are (rows, tokens) but `mask`, which is (rows, 1, tokens, tokens).

    Attributes:
        targets: the next token, `IGNORED` behind a question's end.
        kinds: at the cues, after which an answer comes, the index of the question's kind; else -1.
        cited: true where the number of the source comes next.
        known: what else is to be known at a token, by name, else `IGNORED`: `subject` of a sentence, at its last word,
            and of a question, at its cue; `source`, the tag of the source a sentence stands in, at its last word;
            `bridge`, at the cue, where the first hop leads, which is the answer where there is but one; `cited`, at
            the cue, the tag of the source of the answer.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    kinds: torch.Tensor
    cited: torch.Tensor
    known: Mapping[str, torch.Tensor]


class Encoder:
    """The tokenizer by a pattern of Python's, without its overhead on many short texts; a test holds the two equal."""

    def __init__(self, vocabulary: Mapping[str, int], eos: int) -> None:
        self.vocabulary, self.eos = vocabulary, eos
        self.pieces = re.compile(f"{UNREAD}|({PIECES})")
        self.verbs = self.ids(data.VALUES)
        self.tags = self.ids(map(data.tag, range(data.SOURCES)))
        self.names = self.ids((*data.PEOPLE, *data.PLACES))

    def ids(self, words: Iterable[str]) -> frozenset[int]:
        return frozenset(self.vocabulary[word] for word in words)

    def __call__(self, text: str) -> list[int]:
        return [self.vocabulary[piece] for piece in self.pieces.findall(text) if piece]


def draw(rng: random.Random, stage: Stage, encode: Encoder, *, tokens: int) -> Batch:
    """Rows of contexts with the same number of chunks, about `tokens` tokens with the padding."""
    chunks = rng.randint(*stage.chunks)
    rows: list[_Row] = []
    while max((len(row.tokens) for row in rows), default=0) * (len(rows) + 1) <= tokens:
        alike = rng.random() < stage.alike
        context = data.make_context(rng, chunks, facts=stage.facts, references=stage.references, alike=alike)
        rows.append(_Row(encode, context, choose(rng, context, stage)))
    length = max(len(row.tokens) for row in rows)

    def padded(columns: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([column + [fill] * (length - len(column)) for column in columns])

    owner = padded([row.owner for row in rows], -1)
    order = torch.arange(length)
    mask = (order[:, None] >= order) & ((owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None]))
    return Batch(
        padded([row.tokens for row in rows], 0),
        padded([row.positions for row in rows], 0),
        mask[:, None],
        padded([row.targets for row in rows], IGNORED),
        padded([row.kinds for row in rows], -1),
        padded([row.cited for row in rows], 0).bool(),
        {name: padded([row.known[name] for row in rows], IGNORED) for name in KNOWN},
    )


def choose(rng: random.Random, context: Context, stage: Stage) -> list[Question]:
    """Different questions by the weights of the stage, fewer where the context has no more."""
    left = {kind: [question for question in context.questions if question.kind == kind] for kind in stage.mix}
    for questions in left.values():
        rng.shuffle(questions)
    asked: list[Question] = []
    while len(asked) < stage.questions and (kinds := [kind for kind in left if left[kind]]):
        kind = rng.choices(kinds, [stage.mix[kind] for kind in kinds])[0]
        asked.append(left[kind].pop())
    return asked


class _Row:
    """The columns of one row of a `Batch`; `owner` is 0 for the context, else the number of the question."""

    def __init__(self, encode: Encoder, context: Context, asked: list[Question]) -> None:
        self.tokens, self.positions, self.owner = list[int](), list[int](), list[int]()
        self.targets, self.kinds, self.cited = list[int](), list[int](), list[int]()
        self.known: dict[str, list[int]] = {name: [] for name in KNOWN}
        shared = encode(data.head(context.chunks))
        self._add(shared, 0, 0, IGNORED)
        tag = IGNORED
        for at, token in enumerate(shared):
            tag = token if token in encode.tags else tag
            if token in encode.verbs:  # subject, verb, value
                self.known["subject"][at + 1] = shared[at - 1]
                self.known["source"][at + 1] = tag
        for number, question in enumerate(asked, 1):
            text = encode(data.tail(question.text))
            self._add(text + encode(data.reply(question)), number, len(shared), encode.eos)
            cue = len(self.tokens) - 3  # then come the value and "[n]"
            self.kinds[cue] = data.KINDS.index(question.kind)
            self.cited[cue + 1] = 1
            self.known["subject"][cue] = next(token for token in text if token in encode.names)
            self.known["cited"][cue] = encode.vocabulary[data.tag(question.gold[-1])]
            self.known["bridge"][cue] = encode.vocabulary[question.bridge or question.answer]
        nothing = encode(f"{data.tail(data.CONTENT_FREE)} {data.NOTHING}")
        self._add(nothing, len(asked) + 1, len(shared), encode.eos)

    def _add(self, tokens: list[int], owner: int, position: int, then: int) -> None:
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        self.owner += [owner] * len(tokens)
        self.targets += [*tokens[1:], then]
        self.kinds += [-1] * len(tokens)
        self.cited += [0] * len(tokens)
        for column in self.known.values():
            column += [IGNORED] * len(tokens)
