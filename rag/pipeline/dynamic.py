"""Dynamic retrieval: one loop that asks a trigger when to retrieve, and bounds rounds, tokens and time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Literal, TypeAlias

from rag.errors import BackendError, ModelError
from rag.events import Decided, Event, Retracted, Wrote
from rag.models.caller import CALLER
from rag.pipeline.talk import Seek, Talk
from rag.trigger.base import (
    Asked,
    Decision,
    Finished,
    Found,
    Moment,
    MomentName,
    SpendingQueryBuilder,
    Written,
    joined,
)
from rag.types import Meta, Query, Scalar, Token

if TYPE_CHECKING:
    from rag.generate.base import Decoding
    from rag.pipeline.build import Stage
    from rag.pipeline.run import Run, Work
    from rag.retrieve.base import Retriever
    from rag.trigger.base import QueryBuilder, Trigger

logger = logging.getLogger(__name__)

OnFailure: TypeAlias = Literal["retrieve", "write", "fail"]

_THREADS = 8  # deciding at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one question may cost (`rag.pipeline.dynamic_spec.DynamicSpec` describes each)."""

    rounds: int = 5
    tokens: int = 1024
    seconds: float = 60.0
    add: int = 3
    on_failure: OnFailure = "retrieve"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The built stages of ``ask.dynamic``."""

    trigger: Stage[Trigger]
    query: Stage[QueryBuilder]
    elsewhere: Stage[Retriever] | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Consulted:
    decision: Decision
    queries: tuple[Query, ...]
    seconds: float


class Loop:
    """Answers a batch of questions with retrieval where a trigger asks for it; works that retrieve do so together.

    What is retrieved is appended to the evidence, so that numbers stay and the prompt keeps its beginning. A decision
    to retrieve in mid-answer stops the generator; only if evidence came in that it did not have is text taken back.

    Args:
        now: seconds of a clock that never goes back.
    """

    def __init__(self, run: Run, dynamic: Dynamic, *, now: Callable[[], float] = perf_counter) -> None:
        self.run = run
        self.trigger = dynamic.trigger.run
        self.use = dynamic.trigger.use
        self.builder = dynamic.query.run
        self.has_elsewhere = dynamic.elsewhere is not None
        self.limits = dynamic.limits
        self.now = now

    def answer(self, works: Sequence[Work]) -> Iterator[Event]:
        talks = [Talk(work, self.now() + self.limits.seconds) for work in works]
        yield from self._begin(talks)
        open_ = talks
        while open_:
            yield from self._retrieve([talk for talk in open_ if talk.seek is not None])
            yield from self._write([talk for talk in open_ if not talk.over])
            for talk in open_:
                if talk.seek is None:
                    yield from self.run.answered(talk.work, talk.draft.text, talk.outcome)
            open_ = [talk for talk in open_ if talk.seek is not None]

    # ---- before writing

    def _begin(self, talks: Sequence[Talk]) -> Iterator[Event]:
        moments = [Asked(query=talk.work.query) for talk in talks]
        if not self._speaks("asked"):
            for talk in talks:
                talk.seek = Seek((talk.work.query,), question=True)
            return
        for talk, moment, said in self._consult_all(list(zip(talks, moments, strict=True))):
            if said.queries and said.decision.elsewhere:
                talk.seek = Seek(said.queries, elsewhere=True)
            elif said.queries:
                talk.seek = Seek((talk.work.query,), question=True)
            yield self._decided(talk, moment, said)

    def _retrieve(self, talks: Sequence[Talk]) -> Iterator[Event]:
        """Carry out what the talks seek, and what is sought because of what was found."""
        had = [len(talk.work.evidence) for talk in talks]
        first = [talk.seek for talk in talks]
        seeking = list(talks)
        while seeking:
            yield from self._search(seeking)
            decisions: dict[int, tuple[Moment, _Consulted]] = {}
            if self._speaks("found"):
                found = [
                    Found(
                        query=talk.work.query,
                        ranking=talk.work.ranking,
                        round=talk.round,
                        elsewhere=talk.seek is not None and talk.seek.elsewhere,
                    )
                    for talk in seeking
                ]
                for at, (talk, moment, said) in enumerate(self._consult_all(list(zip(seeking, found, strict=True)))):
                    decisions[at] = moment, said
                    if said.decision.found is not None:
                        talk.work.ranking = said.decision.found
            yield from self.run.compress([talk.work for talk in seeking])
            again: list[Talk] = []
            for at, talk in enumerate(seeking):
                talk.seek = None
                if at in decisions:
                    moment, said = decisions[at]
                    if said.queries:
                        talk.seek = Seek(said.queries, elsewhere=said.decision.elsewhere)
                        again.append(talk)
                    yield self._decided(talk, moment, said)
            seeking = again
        for talk, count, seek in zip(talks, had, first, strict=True):
            assert seek is not None
            yield from self._resumed(talk, seek, new=len(talk.work.evidence) > count)

    def _search(self, talks: Sequence[Talk]) -> Iterator[Event]:
        with_question: list[Work] = []
        own: list[Work] = []
        other: list[Work] = []
        for talk in talks:
            seek, work = talk.seek, talk.work
            assert seek is not None
            talk.round += 1
            # The first evidence is as much as of any question, also where a trigger dropped what was found before.
            work.most = None if seek.question or not work.evidence else self.limits.add * len(seek.queries)
            work.queries = list(seek.queries)
            work.focus = _together(seek.queries)
            (with_question if seek.question else other if seek.elsewhere else own).append(work)
        if with_question:
            yield from self.run.retrieve(with_question)
        if own:
            yield from self.run.search(own, apart=True)
        if other:
            yield from self.run.search_elsewhere(other)

    def _resumed(self, talk: Talk, seek: Seek, *, new: bool) -> Iterator[Event]:
        """Take back what is to be written anew with the new evidence; without any, go on where the text stood."""
        keep = seek.keep if new else seek.stay
        if keep < len(talk.draft.text):
            yield Retracted(talk.work.at, keep)
        talk.draft.keep(keep)
        talk.over = seek.over and not new
        talk.unasked = new and seek.keep < seek.stay

    # ---- writing

    def _write(self, talks: Sequence[Talk]) -> Iterator[Event]:
        if not talks:
            return
        generator = self.run.stages.generator
        prompts = [talk.work.prompt(talk.draft.accepted) for talk in talks]
        begun = [talk.tokens for talk in talks]
        for talk in talks:
            talk.stopped, talk.deciding_seconds = False, 0.0
        started = perf_counter()
        with self.run.tracer.span("rag.generate", prompts=len(talks), use=generator.use):
            if self.trigger.reads_tokens:
                decoding = generator.run.start(prompts, logprobs=True)
            else:
                decoding = generator.run.start(prompts)
            for at, token in decoding:
                talk = talks[at]
                talk.work.see(decoding, at)
                if not talk.stopped:
                    yield from self._take(talk, token)
                    if talk.stopped:
                        decoding.stop(at)
        elapsed = perf_counter() - started - sum(talk.deciding_seconds for talk in talks)
        for at, talk in enumerate(talks):
            self._close(talk, decoding, at, elapsed / len(talks))
        for talk, before in zip(talks, begun, strict=True):
            yield from self._end(talk, wrote=talk.tokens > before)

    def _take(self, talk: Talk, token: Token) -> Iterator[Event]:
        talk.tokens += 1
        taken = talk.draft.add(token)
        yield Wrote(talk.work.at, taken.text, provisional=self._may_take_back(talk))
        if not self._over_limits(talk) and self._speaks("written"):
            yield from self._ask_of_sentences(talk)
        if talk.tokens >= self.limits.tokens:
            talk.stopped = talk.over = True

    def _ask_of_sentences(self, talk: Talk, *, final: bool = False) -> Iterator[Event]:
        """Ask about the sentences that are complete, until one makes it stop."""
        while not talk.stopped and not self._over_limits(talk) and (tokens := talk.draft.closed(final=final)):
            if talk.unasked:
                talk.unasked = False
                talk.draft.accept(tokens)
                continue
            moment = Written(
                query=talk.work.query,
                draft=talk.draft.accepted,
                sentence="".join(token.text for token in tokens),
                tokens=tokens,
                evidence=talk.work.evidence,
                round=talk.round,
            )
            said = self._consult(talk, moment)
            least, whole = len(moment.draft), len(moment.draft) + len(moment.sentence)
            keep = said.decision.keep
            if said.queries:
                keep = least if keep is None else min(max(least, keep), whole)
                question = talk.round == 0 and not said.decision.elsewhere and said.queries == (talk.work.query,)
                talk.seek = Seek(said.queries, said.decision.elsewhere, question, keep=keep, stay=whole)
                talk.stopped = True
            elif said.decision.stop:
                keep = whole if keep is None else min(max(least, keep), whole)
                if keep < len(talk.draft.text):
                    yield Retracted(talk.work.at, keep)
                talk.draft.keep(keep)
                talk.stopped = talk.over = True
            else:
                talk.draft.accept(tokens)
            yield self._decided(talk, moment, said)

    def _close(self, talk: Talk, decoding: Decoding, at: int, seconds: float) -> None:
        talk.last = decoding.outcome(at)
        talk.usage += talk.last.usage
        given = talk.last.given
        talk.given |= set(range(1, len(talk.work.evidence) + 1) if given is None else given)
        self.run.record_writing(talk.work, talk.last, seconds)

    def _end(self, talk: Talk, *, wrote: bool) -> Iterator[Event]:
        """The generator has ended: ask about the last sentences, then about the whole."""
        abstained = talk.last.abstained and not talk.draft.accepted
        if not talk.stopped and not abstained and self._speaks("written"):
            yield from self._ask_of_sentences(talk, final=True)
        if talk.seek is not None or talk.over or not wrote or self._over_limits(talk) or not self._speaks("finished"):
            return
        text = talk.draft.text
        moment = Finished(
            query=talk.work.query,
            draft="" if abstained else text,
            evidence=talk.work.evidence,
            round=talk.round,
            abstained=abstained,
        )
        said = self._consult(talk, moment)
        if said.queries:
            keep = min(max(0, said.decision.keep or 0), len(text))
            talk.seek = Seek(said.queries, said.decision.elsewhere, keep=keep, stay=len(text), over=True)
        yield self._decided(talk, moment, said)

    # ---- deciding

    def _speaks(self, moment: MomentName) -> bool:
        return moment in self.trigger.moments

    def _over_limits(self, talk: Talk) -> bool:
        """Whether nothing more may be retrieved."""
        limits = self.limits
        return talk.round >= limits.rounds or talk.tokens >= limits.tokens or self.now() >= talk.until

    def _may_take_back(self, talk: Talk) -> bool:
        more = (self._speaks("written") or self._speaks("finished")) and not self._over_limits(talk)
        return more or self.run.withholds

    def _consult_all(self, asked: Sequence[tuple[Talk, Moment]]) -> list[tuple[Talk, Moment, _Consulted]]:
        if len(asked) < 2:
            return [(talk, moment, self._consult(talk, moment)) for talk, moment in asked]
        threads = min(_THREADS, len(asked))
        with ThreadPoolExecutor(threads, "rag-trigger", initializer=CALLER.set, initargs=(CALLER.get(),)) as pool:
            said = list(pool.map(lambda each: self._consult(*each), asked))
        return [(talk, moment, each) for (talk, moment), each in zip(asked, said, strict=True)]

    def _consult(self, talk: Talk, moment: Moment) -> _Consulted:
        """The trigger's decision and what to retrieve with, if that is still allowed."""
        started = perf_counter()
        try:
            decision = self.trigger.decide(moment)
            queries, spent = self._queries(talk, moment, decision)
            decision = replace(decision, numbers=joined(decision.numbers, spent))
        except (BackendError, ModelError) as error:
            if self.limits.on_failure == "fail":
                raise
            logger.warning("the trigger %r failed: %s", self.use, error.message)
            retrieve = self.limits.on_failure == "retrieve" and talk.round == 0
            decision = Decision(retrieve=retrieve, why=f"failed: {error.message}", numbers={"failed": 1})
            queries = (talk.work.query,) if retrieve else ()
        seconds = perf_counter() - started
        talk.deciding_seconds += seconds
        return _Consulted(decision, queries, seconds)

    def _queries(self, talk: Talk, moment: Moment, decision: Decision) -> tuple[tuple[Query, ...], Meta]:
        """What to retrieve with, and what it cost to say so."""
        if not decision.retrieve or (decision.elsewhere and not self.has_elsewhere) or self._over_limits(talk):
            return (), {}
        if isinstance(moment, Asked) and not decision.elsewhere:
            return (talk.work.query,), {}
        if isinstance(self.builder, SpendingQueryBuilder):
            queries, spent = self.builder.build_counted(moment, decision)
            return tuple(queries), spent
        return tuple(self.builder.build(moment, decision)), {}

    def _decided(self, talk: Talk, moment: Moment, said: _Consulted) -> Decided:
        decision, work = said.decision, talk.work
        notes: dict[str, Scalar] = {
            **decision.numbers,
            "moment": moment.name,
            "round": talk.round,
            "retrieve": bool(said.queries),
            "why": decision.why,
            "query": "; ".join(query.text for query in said.queries),
        }
        if decision.retrieve and not said.queries:
            notes["not_retrieved"] = self._reason(talk, decision)
        work.record("trigger", self.use, said.seconds, len(work.evidence), len(said.queries), notes=notes)
        settled = 0 if self._speaks("finished") or self.run.withholds else len(talk.draft.accepted)
        return Decided(
            work.at, moment.name, talk.round, bool(said.queries), decision.why, decision.numbers, said.queries, settled
        )

    def _reason(self, talk: Talk, decision: Decision) -> str:
        if talk.round >= self.limits.rounds:
            return f"{self.limits.rounds} rounds are used up"
        if talk.tokens >= self.limits.tokens:
            return f"{self.limits.tokens} tokens are written"
        if self.now() >= talk.until:
            return f"{self.limits.seconds:g} seconds are over"
        return "there is no second source" if decision.elsewhere and not self.has_elsewhere else "nothing to ask for"


def _together(queries: Sequence[Query]) -> Query:
    """What reranking and compression go by where several queries are searched at once."""
    first, *more = queries
    return first.rephrased("; ".join(query.text for query in queries)) if more else first
