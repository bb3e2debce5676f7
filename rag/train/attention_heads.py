"""Finding the attention heads of a model that retrieve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError, ModelError
from rag.models.attention import AttendingModel, Head, WatchedModel
from rag.models.attention_heads import DetectedHeads, anatomy_of
from rag.models.attention_prompt import BLANK, attention_prompt
from rag.models.llm import Message
from rag.models.template import Template, as_data
from rag.rerank.attention_scores import document_score
from rag.rerank.heads import mass_scores, ndcg_scores, retrieval_scores
from rag.train.head_trials import Trial

Method: TypeAlias = Literal["ndcg", "mass", "copy"]
"""``ndcg``: how well a head alone ranks the relevant passages; ``mass``: how much more it attends to them (the two
definitions of QRHead, arXiv 2506.09944). ``copy``: how often it looks at the very token that is being copied (arXiv
2404.15574)."""

Scores: TypeAlias = NDArray[np.float64]

COPY_TOKENS = 64
"""What a model may write to repeat a needle."""
RECALLED = 0.5
"""A needle counts as repeated where more than this share of its words is written."""


def detect_heads(
    model: object,
    trials: Sequence[Trial],
    *,
    method: Method,
    data: str,
    template: Template,
    words: int = 300,
    progress: Callable[[int], None] = lambda done: None,
) -> DetectedHeads:
    """Score every head of the model, averaged over the trials.

    Args:
        data: what the trials are, for the file.
        template: the prompt of attention reranking; not used by ``copy``.
        words: shown of each passage.
        progress: told how many trials are done.

    Raises:
        ConfigError: there are no trials, or the model cannot be looked into.
        ModelError: by ``copy``, the model repeated no needle.
    """
    if not trials:
        raise ConfigError(f"{data}: there is no question to find heads with")
    anatomy = anatomy_of(model, asked_by="rag heads detect")
    total = np.zeros((anatomy.layers, anatomy.heads))
    counted = 0
    for done, trial in enumerate(trials, 1):
        if method == "copy":
            found = copied(model, trial)
        else:
            found = _ranked(model, trial, method=method, template=template, words=words).reshape(total.shape)
        if found is not None:
            total += found
            counted += 1
        progress(done)
    if not counted:
        raise ModelError(
            f"{anatomy.model!r} repeated none of {len(trials)} needles, so no head is seen copying",
            hint="--method ndcg needs no answer of the model",
        )
    mean = total / counted
    order = np.argsort(-mean.ravel(), kind="stable")
    scores = tuple((Head(int(at) // anatomy.heads, int(at) % anatomy.heads), float(mean.flat[at])) for at in order)
    return DetectedHeads(anatomy=anatomy, method=method, data=data, trials=counted, scores=scores)


def copied(model: object, trial: Trial) -> Scores | None:
    """(layers, heads) how much of its needle, the first relevant passage, each head copies; ``None`` where the model
    writes something else.

    Raises:
        ConfigError: the model cannot be watched while it writes.
    """
    if not isinstance(model, WatchedModel):
        raise ConfigError(f"rag heads detect: {type(model).__name__} cannot be watched while it writes")
    text = ""
    place = (0, 0)
    for at, passage in enumerate(map(as_data, trial.passages)):
        if at == min(trial.gold):
            place = (len(text), len(text) + len(passage))
        text += f"{passage}\n"
    text += f"\nRepeat, word for word, the line that answers: {trial.question}"
    writing = model.write_watched([Message("user", text, (place,))], max_tokens=COPY_TOKENS)
    needle = trial.passages[min(trial.gold)].lower().split()
    written = set(writing.text.lower().split())
    if not writing.passages or sum(word in written for word in needle) <= RECALLED * len(needle):
        return None
    return retrieval_scores(writing.looks, writing.prompt, writing.written, writing.passages[0])


def _ranked(model: object, trial: Trial, *, method: Literal["ndcg", "mass"], template: Template, words: int) -> Scores:
    """(heads,) of one trial, layer by layer."""
    if not isinstance(model, AttendingModel):
        raise ConfigError(f"rag heads detect: {type(model).__name__} does not show its attention")
    texts = [" ".join(passage.split()[:words]) for passage in trial.passages]
    blank, asked = model.attend(attention_prompt(template, (BLANK, trial.question), texts)).tails
    documents = np.array(
        [
            [
                document_score(one[head : head + 1], other[head : head + 1])
                for one, other in zip(asked, blank, strict=True)
            ]
            for head in range(len(asked[0]))
        ]
    )
    documents = np.nan_to_num(documents, nan=-np.inf)  # a passage without tokens is found by no head
    gold = np.array([at in trial.gold for at in range(len(texts))])
    if method == "mass":
        return mass_scores(np.nan_to_num(documents, neginf=0.0), gold)
    return ndcg_scores(documents, gold)
