"""A causal language model of transformers in this program."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from rag.errors import ModelError
from rag.kv.specs import ReuseSpec
from rag.models.attention import Anatomy, Attended, AttentionPrompt, Head, Reading, Writing
from rag.models.choices import probabilities
from rag.models.llm import AS_SET, Choice, Completion, Message, Sampling
from rag.models.local.ahead import Ahead
from rag.models.local.attending import READ_TOKENS, Asked, attention, reading, writing
from rag.models.local.chat import Chat, ChatText
from rag.models.local.circles import Circles
from rag.models.local.compressing import LOOKING, refuse, smaller
from rag.models.local.grammar import Grammar, grammar_tokenizer
from rag.models.local.loading import Loaded, Loader
from rag.models.local.reply_text import Detokeniser
from rag.models.local.reusing import ChunkReuse
from rag.models.local.sampler import Sampler
from rag.models.local.watching import read_in_pieces
from rag.models.local.worker import Prompt, Request, Worker
from rag.types import Token, Usage

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from rag.kv.compress.base import CacheCompressor
    from rag.models.compress_cache_specs import CompressCacheSpec


_SHOWN: ContextVar[int] = ContextVar("shown", default=0)
"""The number of the prompt whose attention was last given in this context, that is to this question."""


class TransformersModel:
    """Writes and is looked into. May be used from many threads: one thread of its own runs the model.

    Replies that are asked for at the same time are written together, token by token in one batch. Loaded at first use;
    a closed model is loaded again by the next request.

    Args:
        top_p: for a temperature above 0 (`rag.models.local.sampler.Sampler`).
        end_circles: end a reply that says one stretch over and over (`rag.models.local.circles`); one by schema is not.
        concurrency: how many replies are written together; 1 where a layer is not attention, and with
            `compress_cache`.
        reuse: how the keys and values of `Message.passages` are kept and used again; ``None`` reads every prompt anew.
        compress_cache: which keys and values of a prompt stay while its reply is written, one reply at a time; ``None``
            keeps all.

    Raises:
        ModelError: a prompt that is longer than the window, or that the chat format refuses.
        ModelNotFoundError: there are no such weights.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 512,
        end_circles: bool = False,
        concurrency: int = 8,
        reuse: ReuseSpec | None = None,
        compress_cache: CompressCacheSpec | None = None,
    ) -> None:
        self.loader = loader
        self.temperature = temperature
        self.top_p = top_p
        self.max_tokens = max_tokens
        self.end_circles = end_circles
        self._concurrency = concurrency
        self.reuse = reuse
        self.compress_cache = compress_cache
        self._lock = Lock()
        self._chat: Chat | None = None
        self._grammars: LLTokenizer | None = None
        self._worker: Worker | None = None
        self._chunks: ChunkReuse | None = None
        self._ahead = Ahead("rag-preload")
        self._compressor: CacheCompressor | None = None

    @property
    def window(self) -> int:
        return self.loader.load().window

    @property
    def concurrency(self) -> int:
        return self._concurrency if self.loader.load().attends and self.compress_cache is None else 1

    def count(self, text: str) -> int:
        return self.chat.count(text)

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        pieces = list(self.stream(messages, sampling))
        usage = sum((piece for piece in pieces if isinstance(piece, Usage)), Usage())
        return Completion("".join(piece.text for piece in pieces if isinstance(piece, Token)), usage)

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Generator[Token | Usage]:
        loaded, chat = self.loader.load(), self.chat
        request = Request(
            read=partial(self._start, messages, _SHOWN.get()),
            sampler=partial(self._sampler, sampling),
            detokeniser=partial(Detokeniser, chat.decode),
            stops=sampling.stop,
            ends=loaded.ends,
            max_tokens=sampling.max_tokens or self.max_tokens,
            window=loaded.window,
            circles=Circles() if self.end_circles and sampling.schema is None else None,
        )
        with closing(self.worker.write(request)) as pieces:
            yield from pieces

    def preload(self, messages: Sequence[Message]) -> None:
        """Nothing to bring nearer without a store on disk; a model that is not loaded yet is loaded for it."""
        if self.reuse is not None and self.reuse.path is not None and any(message.passages for message in messages):
            self._ahead.start(partial(self._preload, self.reuse, messages))

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        shown = _SHOWN.get()

        def first() -> tuple[list[float], Usage]:
            prompt = self._read(messages, shown)
            return torch.softmax(prompt.logits.float(), -1).tolist(), prompt.usage

        shares, usage = self.worker.run(first)
        by_text: dict[str, float] = {}
        for text, share in zip(self.chat.vocabulary, shares, strict=False):  # logits may be padded
            by_text[text] = by_text.get(text, 0.0) + share
        return Choice(probabilities(by_text, options), usage + Usage(0, 1, 1))

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        loaded = self._attending()
        if self.reuse is not None and prompt.passages:
            return self._attend_reusing(self.reuse, prompt, heads)
        asked = [self._asked(prompt, tail) for tail in prompt.tails]
        longest = max(len(each.encoded.ids) for each in asked)
        if longest > loaded.window:
            raise self._too_long(longest, loaded.window)
        return self.worker.run(lambda: attention(loaded.model, asked, heads))

    def read(self, text: str, *, layers: Sequence[int] = (-1,)) -> Reading:
        loaded = self._attending()
        encoded = self.chat.encode(self.chat.marks.plain(text), marked=True)
        limit = min(loaded.window, READ_TOKENS)
        if len(encoded.ids) > limit:
            raise self._too_long(len(encoded.ids), limit)
        return self.worker.run(lambda: reading(loaded.model, encoded, layers))

    def write_watched(self, messages: Sequence[Message], *, max_tokens: int) -> Writing:
        loaded, chat = self._attending(), self.chat
        text = chat.text(messages)
        encoded = chat.encode(text.text, marked=text.marked)
        if len(encoded.ids) + max_tokens > loaded.window:
            raise self._too_long(len(encoded.ids) + max_tokens, loaded.window)
        written, looks = self.worker.run(
            lambda: writing(loaded.model, encoded.ids, ends=loaded.ends, max_tokens=max_tokens)
        )
        passages = tuple(encoded.within(start, end) for start, end in text.passages)
        return Writing(np.array(encoded.ids), passages, np.array(written, np.int64), chat.decode(written), looks)

    @property
    def anatomy(self) -> Anatomy:
        return self.loader.load().anatomy

    def close(self) -> None:
        """End what is being written, and free the memory."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._chat = self._grammars = None
        self._ahead.close()
        if worker is not None:
            worker.close()
        self._compressor = None
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            chunks.close()
        self.loader.free()

    # ---- parts, made at first use

    @property
    def chat(self) -> Chat:
        """The tokenizer and its chat format."""
        loaded = self.loader.load()
        with self._lock:
            if self._chat is None:
                self._chat = Chat(loaded.name, loaded.tokenizer)
            return self._chat

    @property
    def worker(self) -> Worker:
        """The thread that runs the model."""
        rows = self.concurrency
        with self._lock:
            if self._worker is None:
                self._worker = Worker(lambda: self.loader.load().model, rows=rows)
            return self._worker

    # ---- one request, in the worker's thread

    def _read(self, messages: Sequence[Message], shown: int) -> Prompt:
        loaded, chat = self.loader.load(), self.chat
        text = chat.text(messages)
        if self.reuse is not None and text.passages:
            chunks = self._reusing(self.reuse)
            pieces = chunks.pieces(text)
            if len(pieces.encoded.ids) >= loaded.window:
                raise self._too_long(len(pieces.encoded.ids), loaded.window)
            return chunks.read(pieces, shown=shown)
        ids = chat.ids(text.text, marked=text.marked)
        if len(ids) >= loaded.window:
            raise self._too_long(len(ids), loaded.window)
        cache = DynamicCache() if loaded.attends else DynamicCache(config=loaded.model.config)
        logits = read_in_pieces(loaded.model, ids, cache)
        if logits is None:
            raise ModelError(f"{loaded.name!r}: the prompt has no tokens")
        return Prompt(ids, logits[-1], cache, Usage(len(ids)))

    def _start(self, messages: Sequence[Message], shown: int) -> Prompt:
        """The prompt with what of its cache is to be written from."""
        prompt = self._read(messages, shown)
        if self.compress_cache is None:
            return prompt
        loaded = self.loader.load()
        if self._compressor is None:
            refuse(loaded)
            self._compressor = self.compress_cache.build(loaded)
        text = self.chat.text(messages)
        asked = len(self.chat.ids(text.text[text.passages[-1][1] :])) if text.passages else LOOKING
        return smaller(loaded.model, prompt, max(0, len(prompt.ids) - asked), self._compressor)

    def _sampler(self, sampling: Sampling) -> Sampler:
        return Sampler(
            temperature=self.temperature if sampling.temperature is None else sampling.temperature,
            top_p=self.top_p,
            seed=sampling.seed,
            logprobs=sampling.logprobs,
            grammar=None if sampling.schema is None else Grammar(self._grammar_tokenizer(), sampling.schema),
        )

    def _grammar_tokenizer(self) -> LLTokenizer:
        loaded = self.loader.load()
        with self._lock:
            if self._grammars is None:
                vocabulary = int(loaded.model.config.get_text_config(decoder=True).vocab_size)
                self._grammars = grammar_tokenizer(loaded.tokenizer, vocabulary=vocabulary)
            return self._grammars

    # ---- attention

    def _attending(self) -> Loaded:
        loaded = self.loader.load()
        if not loaded.attends:
            raise ModelError(f"{loaded.name!r} has layers that are not attention: there is nothing to look at")
        return loaded

    def _attend_reusing(self, spec: ReuseSpec, prompt: AttentionPrompt, heads: Sequence[Head] | None) -> Attended:
        placed = [self._placed(prompt, tail) for tail in prompt.tails]
        _, shift = placed[0]
        documents = [(start + shift, end + shift) for start, end in prompt.documents]

        def attend() -> tuple[Attended, int]:
            chunks = self._reusing(spec)
            asked = [chunks.pieces(text) for text, _ in placed]
            longest = max(len(pieces.encoded.ids) for pieces in asked)
            if longest > self.window:
                raise self._too_long(longest, self.window)
            return chunks.attend(asked, documents, len(prompt.shared) + shift, heads), chunks.shown

        attended, shown = self.worker.run(attend)
        _SHOWN.set(shown)
        return attended

    def _reusing(self, spec: ReuseSpec) -> ChunkReuse:
        loaded, chat = self.loader.load(), self.chat
        with self._lock:
            if self._chunks is None:
                self._chunks = ChunkReuse(loaded, chat, spec)
            return self._chunks

    def _preload(self, spec: ReuseSpec, messages: Sequence[Message]) -> None:
        text = self.chat.text(messages)
        if text.passages:
            self._reusing(spec).preload(text)

    def _placed(self, prompt: AttentionPrompt, tail: str) -> tuple[ChatText, int]:
        """The prompt in the chat format, and what to add to a place in `shared` to have its place there."""
        user = Message("user", prompt.shared + tail, prompt.passages, prompt.access)
        messages = [Message("system", prompt.system), user] if prompt.system else [user]
        text = self.chat.text(messages)
        shift = text.shifts[-1]
        if shift is None:
            raise ModelError(
                f"the chat format of {self.loader.name!r} rewrites messages: documents cannot be found in it"
            )
        return text, shift

    def _asked(self, prompt: AttentionPrompt, tail: str) -> Asked:
        text, shift = self._placed(prompt, tail)
        encoded = self.chat.encode(text.text, marked=text.marked)
        documents = tuple(encoded.within(start + shift, end + shift) for start, end in prompt.documents)
        start, _ = encoded.within(len(prompt.shared) + shift, len(text.text))
        return Asked(encoded, documents, start)

    def _too_long(self, tokens: int, window: int) -> ModelError:
        return ModelError(
            f"a prompt of {tokens} tokens does not fit into the {window} that {self.loader.name!r} takes",
            hint="fewer or smaller chunks, or a model with a larger window",
        )
