"""Trains a low-rank query adapter from a set's relevance judgements, in numpy; seconds for a few hundred questions.

The encoder and the index stay as they are. Loss: InfoNCE of each (question, relevant chunk) against hard negatives and
the other questions' relevant chunks. Questions are split into training, validation and held out; the adapter of the
best validation nDCG@10 is kept and judged once on what was held out. After arXiv 2310.05380.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.embed.adapter import Adapter
from rag.embed.base import Vectors
from rag.errors import ConfigError
from rag.evaluate.statistics import bootstrap, sign_flip
from rag.train.examples import Examples
from rag.train.infonce import Adam, Batch, gradients
from rag.train.split import Split

LEAST = 200  # questions; with fewer an adapter learns them by heart


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterOptions:
    """How training is done. The defaults are for hundreds of questions; what they were chosen on is in the docs."""

    rank: int = 64
    temperature: float = 0.05
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    negatives: int = 16
    epochs: int = 100
    patience: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReport:
    """What training did; figures are nDCG@10 of dense retrieval, `before` and `after` on what was held out.

    `epoch` is the one that was kept, counted from 1; 0 where none was better than the plain encoder on validation.
    `interval` (95 %, bootstrap) and `p` (paired randomisation) are of the gain. `seen` is the share of the documents
    relevant to held-out questions that are relevant to training questions too. `fresh` counts the held-out questions
    with none of these, `fresh_before` and `fresh_after` are theirs: what to expect of documents nobody asked about yet.
    """

    training: int
    validation: int
    held_out: int
    epochs: int
    epoch: int
    validation_before: float
    validation_after: float
    before: float
    after: float
    interval: tuple[float, float]
    p: float
    seen: float
    fresh: int
    fresh_before: float | None
    fresh_after: float | None

    @property
    def gained(self) -> bool:
        """Whether the adapter is better than none on held-out questions."""
        return self.after > self.before


def train_adapter(examples: Examples, options: AdapterOptions) -> tuple[Adapter, AdapterReport]:
    """Train on three fifths of the questions, choose on one, judge on one; the same seed gives the same adapter.

    Raises:
        ConfigError: fewer than 200 questions.
    """
    if len(examples) < LEAST:
        raise ConfigError(
            f"{len(examples)} questions with relevant documents are too few to train on, expected at least {LEAST}",
            hint="an adapter would learn them by heart and harm the rest",
        )
    split, random = Split.of(len(examples), seed=options.seed), np.random.default_rng(options.seed)
    held_out, validation, training = split.held_out, split.validation, split.training
    plain = _untrained(examples, options, random)
    before = _mean(examples, validation, plain)
    best, best_figure, best_epoch, epoch = plain, before, 0, 0
    adapter, adam = plain, Adam(options.learning_rate, options.weight_decay)
    for epoch in range(1, options.epochs + 1):
        for batch in _batches(examples, training, options, random):
            adapter = Adapter(*adam.step((adapter.u, adapter.v), gradients(adapter, batch, options.temperature)))
        figure = _mean(examples, validation, adapter)
        if figure > best_figure:
            best, best_figure, best_epoch = adapter, figure, epoch
        elif epoch - best_epoch >= options.patience:
            break
    old = examples.ndcg(held_out, examples.vectors[held_out])
    new = examples.ndcg(held_out, best.apply(examples.vectors[held_out]))
    gains = [after - before for after, before in zip(new, old, strict=True)]
    known = _relevant(examples, training)
    fresh = [place for place, at in enumerate(held_out) if not examples.examples[at].question.documents & known]
    judged = _relevant(examples, held_out)
    return best, AdapterReport(
        training=len(training),
        validation=len(validation),
        held_out=len(held_out),
        epochs=epoch,
        epoch=best_epoch,
        validation_before=before,
        validation_after=best_figure,
        before=float(np.mean(old)),
        after=float(np.mean(new)),
        interval=bootstrap(gains, seed=options.seed),
        p=sign_flip(gains, seed=options.seed),
        seen=len(judged & known) / len(judged),
        fresh=len(fresh),
        fresh_before=float(np.mean([old[place] for place in fresh])) if fresh else None,
        fresh_after=float(np.mean([new[place] for place in fresh])) if fresh else None,
    )


def _relevant(examples: Examples, at: NDArray[np.int64]) -> set[str]:
    return {name for place in at for name in examples.examples[place].question.documents}


def _untrained(examples: Examples, options: AdapterOptions, random: np.random.Generator) -> Adapter:
    """U is 0, so nothing is changed; V is not, or there would be nothing to follow downhill."""
    dimension = examples.vectors.shape[1]
    v = random.standard_normal((dimension, options.rank), np.float32) / np.float32(np.sqrt(dimension))
    return Adapter(np.zeros_like(v), v)


def _mean(examples: Examples, at: NDArray[np.int64], adapter: Adapter) -> float:
    return float(np.mean(examples.ndcg(at, adapter.apply(examples.vectors[at]))))


def _batches(
    examples: Examples, training: NDArray[np.int64], options: AdapterOptions, random: np.random.Generator
) -> list[Batch]:
    """One epoch: each (question, relevant document) once, with negatives drawn anew."""
    pairs = [(int(at), int(row)) for at in training for row in examples.examples[at].positives]
    order = random.permutation(len(pairs))
    batches = []
    for start in range(0, len(pairs), options.batch_size):
        chosen = [pairs[place] for place in order[start : start + options.batch_size]]
        batches.append(_batch(examples, chosen, options, random))
    return batches


def _batch(
    examples: Examples, pairs: list[tuple[int, int]], options: AdapterOptions, random: np.random.Generator
) -> Batch:
    questions = [at for at, _ in pairs]
    negatives = [random.permutation(examples.examples[at].negatives)[: options.negatives] for at in questions]
    rows = np.unique(np.concatenate([np.array([row for _, row in pairs], np.int64), *negatives]))
    documents = examples.reader.document_ids[rows]
    allowed = np.ones((len(pairs), len(rows)), np.bool_)
    right = np.searchsorted(rows, [row for _, row in pairs])
    for place, at in enumerate(questions):
        own = examples.reader.document_ids[examples.examples[at].positives]
        allowed[place] = ~np.isin(documents, own)  # another relevant chunk of the question is no mistake
    allowed[np.arange(len(pairs)), right] = True
    vectors: Vectors = examples.segmented.take(rows)
    return Batch(examples.vectors[questions], vectors, right, allowed)
