"""Prompts read with the keys and values of passages that were read before (`rag.kv`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from torch import Tensor

from rag.kv.base import Prefilled
from rag.kv.chunk import ChunkCache
from rag.kv.engine import ChunkEngine
from rag.kv.specs import ReuseSpec
from rag.kv.types import ModelIdentity, ReuseReport, Segment
from rag.models.attention import Attended, Head
from rag.models.local.attending import Means, check_heads
from rag.models.local.chat import Chat, ChatText, Encoded, Range
from rag.models.local.last_prompt import LastPrompt, Question
from rag.models.local.loading import Loaded, config_digest, tokenizer_digest
from rag.models.local.pieces import Pieces
from rag.models.local.worker import Prompt
from rag.types import Reuse, Usage

REMEMBERED = 1024
"""Passages whose text is kept, to know a part of one again."""


class ChunkReuse:
    """Reads prompts piece by piece: what all begin with, each passage on its own, what is between.

    A passage that is a part of one read before, some of its sentences, uses that one's keys and values, where the
    policy reads passages on their own: they were computed when the left-out sentences could be seen. The prompt that
    was read last is kept with its questions, so that who shows it again pays nothing. Used in the worker's thread
    alone.

    Raises:
        ModelError: at the first prompt, an architecture whose keys cannot be moved, with the reason.
    """

    def __init__(self, loaded: Loaded, chat: Chat, spec: ReuseSpec) -> None:
        identity = ModelIdentity(
            model=loaded.name,
            revision=f"{loaded.digest}-{config_digest(loaded.model)}",
            dtype=_dtype(loaded, spec),
            tokenizer=tokenizer_digest(loaded.tokenizer),
        )
        self.chat = chat
        self.spec = spec
        self.store = spec.store(identity)
        self.engine = ChunkEngine(loaded.model, identity=identity, policy=spec.policy.build(), store=self.store)
        self._texts: OrderedDict[tuple[str, str], Encoded] = OrderedDict()  # by who may see it, and its text
        self._last: LastPrompt | None = None

    @property
    def shown(self) -> int:
        """The number of the prompt that was read last."""
        return 0 if self._last is None else self._last.number

    def read(self, pieces: Pieces, *, shown: int) -> Prompt:
        """A prompt, ready to be continued.

        Args:
            shown: the number of the prompt whose attention was last given to who asks: with `question: kept` the reply
                goes on from that one alone, for the same question may be asked of other sources meanwhile.
        """
        last = self._last
        kept = self.spec.question == "kept" and shown == self.shown
        parts = None if last is None else last.continued(pieces, cut=kept)
        if parts is not None:
            whole = self.engine.joined(parts)
            usage = _found(pieces, computed=whole.report.recomputed)
        else:
            last, report, apart = self._shared(pieces, shown=shown)
            whole = self.engine.question_pass(last.prefilled, pieces.rest)
            usage = _usage(report, pieces, apart=apart)
            last.remember(Question(pieces.rest, _tail(whole, pieces)))
        assert whole.logits is not None
        return Prompt(whole.ids, whole.logits, whole.cache, usage)

    def attend(
        self, asked: Sequence[Pieces], documents: Sequence[Range], tail: int, heads: Sequence[Head] | None
    ) -> Attended:
        """For each prompt the attention of what stands from `tail` on to `documents`, both places in its text."""
        check_heads(self.engine.model, heads)
        count = int(self.engine.model.config.get_text_config(decoder=True).num_hidden_layers)
        layers = count if heads is None else 1 + max(head.layer for head in heads)
        found, usage = [], Usage()
        for pieces in asked:
            start = next(at for at, (_, end) in enumerate(pieces.encoded.offsets) if end > tail)
            last, report, apart = self._shared(pieces, shown=self.shown)
            question = last.asked(pieces.rest, start=start, layers=layers)
            if question is None:
                question = self._ask(last, pieces, start=start, layers=layers)
                usage += _usage(report, pieces, apart=apart)
            else:
                usage += _found(pieces, computed=0)
            assert question.means is not None
            ranges = [pieces.encoded.within(low, high) for low, high in documents]
            found.append(question.means.of(ranges, heads))
            usage += Usage(requests=1)
        return Attended(tuple(found), usage)

    def pieces(self, text: ChatText) -> Pieces:
        """The tokens of a text with passages."""
        ids: list[int] = []
        offsets: list[Range] = []
        segments: list[Segment] = []

        def add(encoded: Encoded, start: int) -> tuple[int, ...]:
            ids.extend(encoded.ids)
            offsets.extend((low + start, high + start) for low, high in encoded.offsets)
            return encoded.ids

        at = _prefix_end(text.text, text.passages[0][0])
        prefix = add(self.chat.encode(text.text[:at], marked=text.marked), 0)
        for (start, end), access in zip(text.passages, text.access, strict=True):
            if start > at:
                segments.append(Segment(add(self.chat.encode(text.text[at:start], marked=False), at), cached=False))
            segment, encoded = self._passage(text.text[start:end], access)
            if encoded.ids:
                add(encoded, start)
                segments.append(segment)
            at = end
        rest = add(self.chat.encode(text.text[at:], marked=False), at)
        return Pieces(prefix, tuple(segments), rest, Encoded(tuple(ids), tuple(offsets)))

    def preload(self, text: ChatText) -> None:
        """Have the store bring the passages of a text nearer; from any thread."""
        prefix = self.chat.encode(text.text[: _prefix_end(text.text, text.passages[0][0])], marked=text.marked)
        whole = [
            Segment(self.chat.encode(text.text[start:end], marked=False).ids, cached=True, access=access)
            for (start, end), access in zip(text.passages, text.access, strict=True)
        ]
        self.engine.preload(prefix.ids, whole)

    def close(self) -> None:
        """Write what is waiting to be stored."""
        self._last = None
        self.store.close()

    def _passage(self, text: str, access: str) -> tuple[Segment, Encoded]:
        """The passage as a segment, and the tokens of it that stand in the prompt, their places counted in `text`."""
        known = (access, text)
        if known not in self._texts and self.engine.policy.encode != "in-context":
            for (others, whole), encoded in reversed(self._texts.items()):
                found = _part(whole, encoded, text) if others == access else None
                if found is not None:
                    at, (start, end) = found
                    inside = tuple((max(0, low - at), high - at) for low, high in encoded.offsets[start:end])
                    segment = Segment(encoded.ids, cached=True, access=access, keep=((start, end),))
                    return segment, Encoded(encoded.ids[start:end], inside)
        encoded = self._texts.get(known) or self.chat.encode(text, marked=False)
        self._texts[known] = encoded
        self._texts.move_to_end(known)
        if len(self._texts) > REMEMBERED:
            self._texts.popitem(last=False)
        return Segment(encoded.ids, cached=True, access=access), encoded

    def _ask(self, last: LastPrompt, pieces: Pieces, *, start: int, layers: int) -> Question:
        """Read the question with an eye on its attention, as far as the first `layers` layers."""
        watch = _Watch(start, len(pieces.shared), layers, Means(1, None))
        tail = None
        with suppress(_Enough):
            tail = _tail(self.engine.question_pass(last.prefilled, pieces.rest, observe=watch), pieces)
        question = Question(pieces.rest, tail, watch.means(), start, layers)
        last.remember(question)
        return question

    def _shared(self, pieces: Pieces, *, shown: int) -> tuple[LastPrompt, ReuseReport, str]:
        """The prompt up to its last passage, and what that cost: nothing where it is the last one's, else why not."""
        last = self._last
        if last is not None and last.same(pieces):
            count = len(pieces.shared)
            return last, ReuseReport(self.engine.policy.name, count, count, 0), ""
        apart = "" if last is None else last.apart(pieces, mine=last.number == shown)
        self._last = last = None  # its memory may be needed
        self._last = last = LastPrompt(pieces, self.engine.prefill(pieces.prefix, pieces.segments))
        return last, last.prefilled.report, apart


def _dtype(loaded: Loaded, spec: ReuseSpec) -> str:
    """Of keys and values, and how they are kept: those that were rounded are not for who asks for exact ones."""
    computed = str(loaded.model.dtype).removeprefix("torch.")
    return computed if spec.precision == "model" else f"{computed}, kept as {spec.precision}"


def _part(whole: str, encoded: Encoded, text: str) -> tuple[int, Range] | None:
    """Where a text stands in a whole one, and its tokens there; ``None`` where it does not, or they hold more of it
    than blanks around the text: half a word is no part."""
    at = whole.find(text)
    if at < 0 or not text.strip():
        return None
    start, end = encoded.within(at, at + len(text))
    if start == end:
        return None
    low, high = encoded.offsets[start][0], encoded.offsets[end - 1][1]
    beside = whole[low:at] + whole[at + len(text) : high]
    return None if beside.strip() else (at, (start, end))


def _prefix_end(text: str, passage: int) -> int:
    r"""Where what all prompts begin with ends: before the line over the first passage, which names its source.

    >>> _prefix_end("Sources:\n<source id=\"1\">\nDogs bark.", 25)
    9
    """
    return text.rfind("\n", 0, max(0, passage - 1)) + 1


class _Enough(Exception):
    """Ends a pass: the layers behind are not needed."""


class _Watch:
    """Sums the attention of rows from `start` on to the first `known` positions, in the first `layers` layers."""

    def __init__(self, start: int, known: int, layers: int, into: Means) -> None:
        self.start = start
        self.known = known
        self.layers = layers
        self.into = into
        self._layer = -1
        self._sum: Tensor | None = None
        self._rows = 0

    def __call__(self, layer: int, positions: Tensor, weights: Tensor) -> None:
        if layer != self._layer:
            self._flush()
            if layer >= self.layers:
                raise _Enough
            self._layer = layer
        counted = positions >= self.start
        part = weights[:, counted.to(weights.device), : self.known].sum(1)
        self._sum = part if self._sum is None else self._sum + part
        self._rows += int(counted.sum())

    def means(self) -> Means:
        """What was collected, when the pass is over."""
        self._flush()
        return self.into

    def _flush(self) -> None:
        if self._sum is not None:
            self.into.take(self._layer, self._sum[:, None] / self._rows)
        self._sum, self._rows = None, 0


def _tail(whole: Prefilled, pieces: Pieces) -> ChunkCache:
    """Keys and values of the question."""
    return whole.splice.take(len(whole.ids) - len(pieces.rest), len(whole.ids))


def _usage(report: ReuseReport, pieces: Pieces, *, apart: str) -> Usage:
    """Of one prompt, whose `rest` was computed; what its missing passages cost is taken off what is cached.

    `apart`: why the prompt before it did not serve.
    """
    again = not report.recomputed  # else its last token at least
    reuse = Reuse(
        reused=report.reused,
        recomputed=report.recomputed + len(pieces.rest),
        read_alone=report.encoded,
        measured=report.scored,
        from_memory=report.found.get("device", 0) + report.found.get("memory", 0),
        from_disk=report.found.get("disk", 0),
        from_prompt=report.reused if again else 0,
        apart=apart,
    )
    cached = max(0, report.tokens - round(report.computed))
    return Usage(len(pieces.encoded.ids), cached_tokens=cached, reuse=reuse)


def _found(pieces: Pieces, *, computed: int) -> Usage:
    """Of one prompt whose sources and question stood in the one before."""
    tokens = len(pieces.encoded.ids)
    reused = tokens - computed
    reuse = Reuse(reused=reused, recomputed=computed, from_prompt=reused, questions=1)
    return Usage(tokens, cached_tokens=reused, reuse=reuse)
