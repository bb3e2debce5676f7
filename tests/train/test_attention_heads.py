from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.errors import ConfigError, ModelError
from rag.models.attention import Anatomy, Attended, AttentionPrompt, Head, Writing
from rag.models.attention_heads import BestOf, DetectedHeads, heads_for
from rag.models.attention_prompt import FIELDS
from rag.models.llm import Message
from rag.models.template import Template
from rag.train.attention_heads import copied, detect_heads
from rag.train.head_trials import Trial, synthetic_trials, trials_from_file
from rag.types import Usage

TEMPLATE = Template.parse("{documents}\nQuery: {question}", name="attend", fields=FIELDS)
ANATOMY = Anatomy("words", "", "a" * 32, layers=2, heads=2)
TRIALS = [
    Trial("dogs bark", ("cats sleep", "dogs bark", "rain falls"), frozenset({1})),
    Trial("rain falls", ("cats sleep", "dogs bark", "rain falls"), frozenset({2})),
]


class FourHeads:
    """A word is a token. 1-0 looks at words of the question, 0-1 always at the first document, the others at all."""

    window = 1000
    anatomy = ANATOMY

    def __init__(self, reply: str = "") -> None:
        self.reply = reply

    def count(self, text: str) -> int:
        return len(text.split())

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        tails = []
        for tail in prompt.tails:
            asked = set(tail.split())
            documents = []
            for at, (start, end) in enumerate(prompt.documents):
                words = prompt.shared[start:end].split()
                hits = np.array([word in asked for word in words], np.float32)
                even, first = np.full(len(words), 0.1, np.float32), np.full(len(words), float(at == 0), np.float32)
                gain = first * ("N/A" not in asked)
                documents.append(np.stack([even, gain, hits, even]))
            tails.append(tuple(documents))
        return Attended(tuple(tails), Usage())

    def write_watched(self, messages: Sequence[Message], *, max_tokens: int) -> Writing:
        """Writes `reply`; 0-0 looks at each word where it stands in the needle, the others at the first word of all."""
        [message] = messages
        words = message.content.split()
        ids = {word: at for at, word in enumerate(dict.fromkeys(words))}
        prompt = np.array([ids[word] for word in words])
        start = len(message.content[: message.passages[0][0]].split())
        needle = message.content[slice(*message.passages[0])].split()
        written = [word for word in self.reply.split() if word in ids]
        looks = np.zeros((len(written), 2, 2), np.int64)
        for step, word in enumerate(written):
            if word in needle:
                looks[step, 0, 0] = start + needle.index(word)
        span = (start, start + len(needle))
        return Writing(prompt, (span,), np.array([ids[word] for word in written]), self.reply, looks)


def test_the_head_that_ranks_what_is_relevant_first_is_found() -> None:
    found = detect_heads(FourHeads(), TRIALS, method="ndcg", data="by hand", template=TEMPLATE)
    assert found.best(1) == (Head(1, 0),)
    # 0-0 and 1-1 are calibrated away, so the order stands: second and third of three, (1/log2(3) + 1/log2(4)) / 2.
    scores = dict(found.scores)
    assert scores[Head(1, 0)] == 1.0
    assert scores[Head(0, 0)] == pytest.approx((1 / np.log2(3) + 1 / 2) / 2)
    assert found.trials == 2


def test_the_head_that_attends_more_to_what_is_relevant_is_found() -> None:
    found = detect_heads(FourHeads(), TRIALS, method="mass", data="by hand", template=TEMPLATE)
    assert dict(found.scores) == {Head(1, 0): 2.0, Head(0, 0): 0.0, Head(0, 1): 0.0, Head(1, 1): 0.0}


def test_a_head_that_looks_at_three_of_four_copied_words_scores_three_quarters() -> None:
    trial = Trial("who?", ("other things here", "red dogs bark loudly"), frozenset({1}))
    scores = copied(FourHeads(reply="red dogs bark"), trial)
    np.testing.assert_allclose(scores, [[0.75, 0], [0, 0]])  # type: ignore[arg-type]
    assert copied(FourHeads(reply="red dogs"), trial) is None  # half of the needle is not more than half of it


def test_a_model_that_repeats_no_needle_is_said_to() -> None:
    with pytest.raises(ModelError, match="repeated none of 2 needles"):
        detect_heads(FourHeads(), TRIALS, method="copy", data="by hand", template=TEMPLATE)


def test_a_file_is_read_back_and_refused_for_another_model(tmp_path: Path) -> None:
    found = detect_heads(FourHeads(), TRIALS, method="ndcg", data="by hand", template=TEMPLATE)
    path = tmp_path / "heads.json"
    found.save(path)
    again = DetectedHeads.load(path)
    assert again.anatomy == ANATOMY
    assert again.best(4) == found.best(4)
    assert heads_for(FourHeads(), BestOf(path, 2)) == found.best(2)

    class Other(FourHeads):
        anatomy = Anatomy("other", "main", "b" * 32, layers=2, heads=2)

    with pytest.raises(ModelError, match=r"those of 'words' .*the pipeline's model is 'other', revision main"):
        heads_for(Other(), BestOf(path, 2))
    with pytest.raises(ConfigError, match="object does not say which weights"):
        heads_for(object(), BestOf(path, 2))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    for content in ("[]", "{", '{"version": 1}', json.dumps({"version": 2})):
        path.write_text(content)
        with pytest.raises(ConfigError, match=r"expected a file of|version 2"):
            DetectedHeads.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        DetectedHeads.load(tmp_path / "none.json")


def test_made_up_needles_have_one_answer_each_and_are_drawn_alike_by_a_seed() -> None:
    trials = synthetic_trials(20, passages=12, seed=3)
    assert trials == synthetic_trials(20, passages=12, seed=3)
    for trial in trials:
        name, thing = trial.question.split()[2], trial.question.split()[5].rstrip("?")
        holding = {at for at, text in enumerate(trial.passages) if f"{name} keeps the {thing} " in text}
        assert holding == trial.gold


def test_trials_of_a_file_are_checked_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text('{"question": "q", "passages": ["a", "b"], "gold": [1]}\n{"question": "q", "passages": ["a"]}\n')
    assert trials_from_file(path, count=1) == [Trial("q", ("a", "b"), frozenset({1}))]
    with pytest.raises(ConfigError, match=r"trials.jsonl:2: expected question"):
        trials_from_file(path, count=2)
    path.write_text('{"question": "q", "passages": ["a"], "gold": [1]}\n')
    with pytest.raises(ConfigError, match="gold must name some of the 1 passages"):
        trials_from_file(path, count=1)
