from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag.cite.support import Claim, SupportChecker, Thresholds, verdict
from rag.cite.words import Source, Wording
from rag.embed.hash import HashEmbedder
from rag.models.entailment import Entailment
from rag.text.analyze import Analyzer
from rag.types import Verdict

IMPLIED, DENIED, NEITHER = Entailment(0.9, 0.05), Entailment(0.1, 0.8), Entailment(0.2, 0.1)


@pytest.mark.parametrize(
    ("wording", "cosine", "entailment", "expected"),
    [
        (Wording(0.6), None, None, "supported"),
        (Wording(0.59), None, None, "weak"),
        (Wording(0.39), None, None, "unsupported"),
        (Wording(1.0, missing=("Edison",)), None, None, "weak"),
        (Wording(1.0, missing=("1990",)), None, None, "unsupported"),
        (Wording(1.0, contrary=("bark",)), None, None, "unsupported"),
        (Wording(1.0, swapped=("Owls",)), None, None, "unsupported"),
        (Wording(0.2), 0.7, None, "supported"),
        (Wording(0.2), 0.69, None, "unsupported"),
        (Wording(0.2, missing=("1990",)), 0.9, IMPLIED, "unsupported"),
        (Wording(0.2), None, IMPLIED, "supported"),
        (Wording(0.2, missing=("Edison",)), None, IMPLIED, "weak"),
        (Wording(1.0), 1.0, DENIED, "unsupported"),
        (Wording(1.0), 1.0, NEITHER, "weak"),
    ],
)
def test_a_verdict_follows_from_the_numbers(
    wording: Wording, cosine: float | None, entailment: Entailment | None, expected: Verdict
) -> None:
    assert verdict(wording, Thresholds(), cosine=cosine, entailment=entailment) == expected


class Reader:
    """Says `implied` of the premises named, and keeps what it was asked."""

    def __init__(self, *implying: str) -> None:
        self.implying = implying
        self.asked: list[tuple[str, str]] = []

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        self.asked += pairs
        return [IMPLIED if premise in self.implying else NEITHER for premise, _ in pairs]


def claims(*sentences: str, text: str = "Dogs bark. Owls hoot.") -> list[Claim]:
    source = Source(text, Analyzer())
    return [Claim(sentence, source) for sentence in sentences]


def test_a_model_reads_each_near_sentence_and_all_of_them_and_the_best_counts() -> None:
    reader = Reader("Owls hoot.")
    first, second = SupportChecker(thresholds=Thresholds(), model=reader).check(claims("Birds call.", "Dogs talk."))
    premises = ["Dogs bark.", "Owls hoot.", "Dogs bark. Owls hoot."]
    assert reader.asked == [(premise, claim) for claim in ("Birds call.", "Dogs talk.") for premise in premises]
    assert (first.verdict, first.entailment, first.contradiction) == ("supported", 0.9, 0.05)
    assert second.verdict == "supported"  # the same premise


def test_a_source_without_sentences_is_read_as_an_empty_premise() -> None:
    reader = Reader()
    (support,) = SupportChecker(thresholds=Thresholds(), model=reader).check(claims("Dogs bark.", text=""))
    assert (reader.asked, support.verdict) == ([("", "Dogs bark.")], "weak")


def test_the_cosine_is_that_of_the_nearest_sentence() -> None:
    checker = SupportChecker(thresholds=Thresholds(), embedder=HashEmbedder(dimension=64))
    same, none = checker.check([*claims("Owls hoot."), *claims("Owls hoot.", text="")])
    assert same.cosine == pytest.approx(1, abs=1e-6)
    assert none.cosine == 0


def test_a_sentence_longer_than_the_embedders_window_is_cut_to_it() -> None:
    embedder = HashEmbedder(dimension=64)
    long = "word " * (embedder.tokenizer.max_tokens + 50)
    (support,) = SupportChecker(thresholds=Thresholds(), embedder=embedder).check(claims(long, text=long))
    assert support.cosine == pytest.approx(1, abs=1e-6)


def test_nothing_to_check_asks_nobody() -> None:
    reader = Reader()
    assert SupportChecker(thresholds=Thresholds(), model=reader).check([]) == []
    assert reader.asked == []
