"""How often each check of a citation catches a sentence that its source does not carry, and one that it does.

    python benchmarks/grounding.py DATA_DIR [--sets squad2,xquad-en,hotpotqa,pubmedqa,xquad-ru] [--documents 200]
        [--checks words,facts] [--embedded 40] [--nli MODEL] [--seed 0]

DATA_DIR holds one folder a set (corpus.jsonl, queries.jsonl, qrels.tsv). Sentences come from the passages, and from the
questions: "Who led the Panthers in sacks?" and its answer make "Kawann Short led the Panthers in sacks.", which says in
other words what the passage says. Kinds of pairs:

    same            a sentence and its own passage
    asked           a question's statement and the passages that answer it
    conclusion      a sentence of an abstract's conclusion and the abstract without it (pubmedqa); not all are implied
    other           a sentence and the passage most like it, its own aside; asked-other, conclusion-other alike
    number, name    one of the sentence changed into one that the passage does not have
    number-near, name-near    into another of the same passage
    negation        one put in or taken out
    answer-near     a question's statement with the answer to another question on the same passage

The first three should be supported, the rest should not. Columns: pairs, then for each check the share called weak or
unsupported, and in brackets the share called unsupported. `words` is recall of content words alone, `facts` the default
check, `embedding` the same with MiniLM, `nli` with the model named; the last two read --embedded pairs of a kind.
The last line gives the shares over all sets, the mean of the sets for each kind, and milliseconds of CPU a sentence.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

from rag.cite.facts import names
from rag.cite.support import Claim, SupportChecker, Thresholds
from rag.cite.words import Source, Wording
from rag.embed.specs import OnnxSpec
from rag.models.entailment import TransformersEntailment
from rag.text.analyze import Analyzer
from rag.text.sentences import sentences
from rag.types import Support

SETS = "squad2,xquad-en,hotpotqa,pubmedqa,xquad-ru"
HOLDS = ("same", "asked", "conclusion")
_AUXILIARY = r"is|was|are|were|has|had|have|can|will|would|could|did|does|do|should|must|may"
_PLAIN = re.compile(rf"\b(?:{_AUXILIARY})\b(?! not)(?!n't)", re.IGNORECASE)
_NEGATED = re.compile(rf"(\b(?:{_AUXILIARY}) )(?:not|never) |\bno ", re.IGNORECASE)
_VERB = r"is|was|are|were|\w+ed|\w+s|led|won|lost|made|held|became|wrote|began|gave|took|sang|built|ran|came"
_ASKED = re.compile(rf"^(?:Who|What)(?= (?:{_VERB})\b)")


@dataclass(frozen=True, slots=True)
class Pair:
    kind: str
    sentence: str
    documents: tuple[str, ...]


class WordsOnly(SupportChecker):
    """Recall of content words, and nothing else."""

    def check(self, claims: Sequence[Claim]) -> list[Support]:
        recalls = [claim.source.wording(claim.text).recall for claim in claims]
        return [self._support(Wording(recall), None, None) for recall in recalls]


class Passages:
    """The passages of a set, and which of them is most like a sentence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.analyzer = Analyzer()
        self.texts = {row["_id"]: (row["title"], row["text"]) for row in rows(folder / "corpus.jsonl")}
        self.terms = {key: set(self.analyzer.terms(" ".join(text))) for key, text in self.texts.items()}
        self._sources: dict[tuple[str, ...], Source] = {}

    def source(self, documents: tuple[str, ...]) -> Source:
        if documents not in self._sources:
            texts = [self.texts[each] for each in documents]
            context = "\n".join(title for title, _ in texts)
            self._sources[documents] = Source("\n\n".join(text for _, text in texts), self.analyzer, context=context)
        return self._sources[documents]

    def sentences(self, document: str) -> list[str]:
        text = self.texts[document][1]
        return [text[start:end] for start, end in sentences(text) if 40 < end - start < 300]

    @cached_property
    def postings(self) -> Mapping[str, list[str]]:
        found = defaultdict(list)
        for document, terms in self.terms.items():
            for term in terms:
                found[term].append(document)
        return found

    def like(self, sentence: str, *, but: Sequence[str]) -> tuple[str, ...]:
        """The one passage with most of the sentence's terms, rare ones counting more."""
        scores: defaultdict[str, float] = defaultdict(float)
        for term in set(self.analyzer.terms(sentence)):
            documents = self.postings.get(term, [])
            for document in documents:
                scores[document] += log(len(self.texts) / len(documents))
        ranked = [document for document in sorted(scores, key=lambda each: -scores[each]) if document not in but]
        return tuple(ranked[:1])


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pairs(passages: Passages, *, documents: int, seed: int) -> list[Pair]:
    chance = random.Random(seed)
    order = sorted(passages.texts)
    chance.shuffle(order)
    pool = [name for document in order[:400] for text in passages.sentences(document) for name in names(text)]
    found: list[Pair] = []
    for document in order[:documents]:
        if written := passages.sentences(document):
            found += changed(chance.choice(written), document, passages, pool, chance)
    found += asked(passages, chance)
    found += concluded(passages, most=documents)
    return [pair for pair in found if pair.documents]


def changed(text: str, document: str, passages: Passages, pool: Sequence[str], chance: random.Random) -> Iterator[Pair]:
    """A sentence as it stands, beside another passage, and with one thing changed."""
    whole, own = passages.texts[document][1], (document,)
    yield Pair("same", text, own)
    yield Pair("other", text, passages.like(text, but=own))
    if found := list(re.finditer(r"\d{1,8}", text)):
        number = chance.choice(found)
        elsewhere = [each for each in re.findall(r"\d+", whole) if each not in text]
        other = str(int(number[0]) + chance.choice([1, 2, 3, 7, 10]))
        if other not in whole:
            yield Pair("number", put(text, number, other), own)
        if elsewhere:
            yield Pair("number-near", put(text, number, chance.choice(elsewhere)), own)
    if written := names(text):
        name = chance.choice(written)
        elsewhere = sorted({each for piece in passages.sentences(document) for each in names(piece)} - set(written))
        elsewhere = [each for each in elsewhere if each not in text]
        foreign = [each for each in chance.sample(pool, min(50, len(pool))) if each not in whole]
        if foreign:
            yield Pair("name", text.replace(name, foreign[0], 1), own)
        if elsewhere:
            yield Pair("name-near", text.replace(name, chance.choice(elsewhere), 1), own)
    if negated := _NEGATED.search(text):
        yield Pair("negation", put(text, negated, str(negated[1] or "")), own)
    elif plain := _PLAIN.search(text):
        yield Pair("negation", put(text, plain, f"{plain[0]} not"), own)


def asked(passages: Passages, chance: random.Random) -> Iterator[Pair]:
    relevant = defaultdict(list)
    for line in (passages.folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        asker, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant[asker].append(document)
    together: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for query in rows(passages.folder / "queries.jsonl"):
        answers = [each for each in query["metadata"].get("answers", ()) if each.lower() not in ("", "yes", "no")]
        if answers and relevant[query["_id"]]:
            together[tuple(relevant[query["_id"]])].append((query["text"], answers[0]))
    for documents, questions in sorted(together.items()):
        for question, answer in questions:
            if not _ASKED.match(question):
                continue
            yield Pair("asked", stated(question, answer), documents)
            yield Pair("asked-other", stated(question, answer), passages.like(stated(question, answer), but=documents))
            apart = [
                other
                for text, other in questions
                if text != question and other.lower() not in answer.lower() and answer.lower() not in other.lower()
            ]
            if apart:
                yield Pair("answer-near", stated(question, chance.choice(apart)), documents)


def concluded(passages: Passages, *, most: int) -> Iterator[Pair]:
    for query in rows(passages.folder / "queries.jsonl")[:most]:
        conclusion, document = query["metadata"].get("long_answer", ""), query["_id"].removeprefix("q")
        for start, end in sentences(conclusion):
            if end - start > 40 and document in passages.texts:
                yield Pair("conclusion", conclusion[start:end], (document,))
                other = passages.like(conclusion[start:end], but=(document,))
                yield Pair("conclusion-other", conclusion[start:end], other)


def stated(question: str, answer: str) -> str:
    return _ASKED.sub(lambda _: answer[0].upper() + answer[1:], question.rstrip("? ")) + "."


def put(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--checks", default="words,facts")
    parser.add_argument("--embedded", type=int, default=40)
    parser.add_argument("--nli", help="a folder, or a model in the Hugging Face cache")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    checkers: dict[str, SupportChecker] = {}
    for name in options.checks.split(","):
        checkers[name] = (WordsOnly if name == "words" else SupportChecker)(thresholds=Thresholds())
        if name == "embedding":
            checkers[name].embedder = OnnxSpec().build()
    if options.nli:
        checkers["nli"] = SupportChecker(thresholds=Thresholds(), model=TransformersEntailment(options.nli))
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: defaultdict[str, float] = defaultdict(float)
    checked: defaultdict[str, int] = defaultdict(int)
    for name in options.sets.split(","):
        passages = Passages(options.data / name)
        made = pairs(passages, documents=options.documents, seed=options.seed)
        for kind in sorted({pair.kind for pair in made}, key=lambda kind: (kind not in HOLDS, kind)):
            of_kind = [pair for pair in made if pair.kind == kind]
            random.Random(options.seed).shuffle(of_kind)
            cells = [f"{name:10} {kind:17} {len(of_kind):5}"]
            for check, checker in checkers.items():
                some = of_kind[: options.embedded] if check in ("embedding", "nli") else of_kind
                started = time.process_time()
                supports = [checker.check([Claim(pair.sentence, passages.source(pair.documents))])[0] for pair in some]
                seconds[check] += time.process_time() - started
                checked[check] += len(some)
                doubted = sum(support.verdict != "supported" for support in supports) / len(some)
                wrong = sum(support.verdict == "unsupported" for support in supports) / len(some)
                shares[check, kind].append(doubted)
                cells.append(f"{check} {doubted:.2f} ({wrong:.2f})")
            print("   ".join(cells), flush=True)
    for check in checkers:
        means = [f"{kind} {sum(found) / len(found):.2f}" for (by, kind), found in shares.items() if by == check]
        print(f"{check}, doubted: {', '.join(means)}; {seconds[check] / checked[check] * 1000:.2f} ms a sentence")


if __name__ == "__main__":
    main()
