"""vLLM in this program: any model it runs, for many callers at once."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from math import exp
from pathlib import Path
from threading import Lock, local
from typing import TYPE_CHECKING, cast

from rag.errors import BackendError, ConfigError, ModelError
from rag.models.aligned import Aligner
from rag.models.choices import MOST_TOKENS, listed_entropy, probabilities
from rag.models.llm import AS_SET, Choice, Completion, Message, Sampling
from rag.models.vllm_engine import VllmEngine
from rag.models.vllm_metrics import EngineMetrics, parse_metrics
from rag.models.vllm_prompt import ChatEncoder
from rag.types import Token, Usage

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.logprobs import Logprob

    from rag.models.vllm_prompt import ChatTokenizer

logger = logging.getLogger(__name__)


class VllmModel:
    """A chat model run by `VllmEngine`. May be used from many threads, which is what it is for.

    With ``Sampling.logprobs`` every token carries its log-probability before temperature, and its entropy as a lower
    bound from the `MOST_TOKENS` most probable (`rag.models.choices.listed_entropy`).

    Args:
        name: what the model is called in messages and metrics.
        max_tokens: how long a reply may get, unless the caller says.
        temperature: 0 is greedy.
        concurrency: how many replies are written at the same time; further requests wait in the engine's queue.
        chat_template: a Jinja file to use instead of the tokenizer's own chat format.

    Raises:
        ModelError: the model cannot be loaded, has no chat format, or the prompt is longer than its window.
        BackendError: the engine died, or was closed while it wrote.
    """

    def __init__(
        self,
        engine: VllmEngine,
        *,
        name: str,
        max_tokens: int = 512,
        temperature: float = 0.0,
        concurrency: int = 32,
        chat_template: Path | None = None,
    ) -> None:
        self.engine = engine
        self.name = name
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.concurrency = concurrency
        self.chat_template = chat_template
        self._lock = Lock()
        self._encoder: ChatEncoder | None = None
        self._last = local()  # of each thread, the messages it measured last and their token ids

    @property
    def window(self) -> int:
        return int(self.engine.load().model_config.max_model_len)

    def count(self, text: str) -> int:
        return self._loaded_encoder().count(text)

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        prompt = self.prompt(messages)
        self._last.prompt = (tuple(messages), prompt)  # who measures a prompt asks it next
        return len(prompt)

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        prompt = self._prompt(messages)
        [output] = self.engine.generate(prompt, self._params(sampling, streamed=False))
        reply = output.outputs[0]
        self._check(reply.finish_reason, sampling.max_tokens or self.max_tokens)
        usage = Usage(len(prompt), len(reply.token_ids), 1, cached_tokens=output.num_cached_tokens or 0)
        return Completion(reply.text, usage)

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        prompt = self._prompt(messages)
        aligner = Aligner()
        written = cached = 0
        with closing(self.engine.generate(prompt, self._params(sampling, streamed=True))) as outputs:
            for output in outputs:
                reply = output.outputs[0]
                written += len(reply.token_ids)
                cached = max(cached, output.num_cached_tokens or 0)
                yield from aligner.take(reply.text, _tokens(output) if sampling.logprobs else ())
                if output.finished:
                    self._check(reply.finish_reason, sampling.max_tokens or self.max_tokens)
        yield from aligner.end()
        yield Usage(len(prompt), written, 1, cached_tokens=cached)

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        prompt = self._prompt(messages)
        params = self._params(Sampling(max_tokens=1, logprobs=True), streamed=False)
        [output] = self.engine.generate(prompt, params)
        shares = [_shares(listed) for listed in output.outputs[0].logprobs or ()]
        usage = Usage(len(prompt), 1, 1, cached_tokens=output.num_cached_tokens or 0)
        return Choice(probabilities(shares[0] if shares else {}, options), usage)

    def metrics(self) -> EngineMetrics:
        """What the engine has counted since it was loaded."""
        return parse_metrics(self.engine.counters())

    def close(self) -> None:
        """End the engine and free its memory."""
        self.engine.close()
        with self._lock:
            self._encoder = None

    # ---- one request

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a chat, in the model's own format; a last message of the assistant is left open.

        Raises:
            ModelError: the model has no chat format, or it refuses these messages.
        """
        encoder = self._loaded_encoder()
        try:
            return encoder.prompt(messages)
        except ValueError as error:
            raise ModelError(
                f"{self.name!r} cannot put the messages into its chat format: {error}",
                hint="a base model has none: choose one tuned for chat, or set llm.chat_template",
            ) from error

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a chat, of which this thread has often just asked how many they are."""
        measured, prompt = getattr(self._last, "prompt", (None, []))
        return prompt if measured == tuple(messages) else self.prompt(messages)

    def _params(self, sampling: Sampling, *, streamed: bool) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = sampling.schema
        return SamplingParams(
            max_tokens=sampling.max_tokens or self.max_tokens,
            temperature=self.temperature if sampling.temperature is None else sampling.temperature,
            stop=list(sampling.stop),
            seed=sampling.seed,
            logprobs=MOST_TOKENS if sampling.logprobs else None,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=dict(schema)),
            output_kind=RequestOutputKind.DELTA if streamed else RequestOutputKind.FINAL_ONLY,
        )

    def _check(self, reason: str | None, max_tokens: int) -> None:
        if reason not in ("stop", "length"):
            raise BackendError(f"{self.name!r}: the engine gave up the reply ({reason})")
        if reason == "length":
            logger.warning("the reply was cut at max_tokens=%d", max_tokens)

    def _loaded_encoder(self) -> ChatEncoder:
        engine = self.engine.load()
        with self._lock:
            if self._encoder is None:
                tokenizer = copy.deepcopy(engine.get_tokenizer())  # the engine uses its own in another thread
                self._encoder = ChatEncoder(cast("ChatTokenizer", tokenizer), chat_template=self._own_template())
            return self._encoder

    def _own_template(self) -> str | None:
        if self.chat_template is None:
            return None
        try:
            return self.chat_template.expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"llm.chat_template: {self.chat_template} cannot be read: {error.strerror}") from error


def _tokens(output: RequestOutput) -> Iterator[Token]:
    """The new tokens of an output, each with what it decodes to on its own."""
    reply = output.outputs[0]
    for token, listed in zip(reply.token_ids, reply.logprobs or (), strict=True):
        own = listed[token]
        most = sorted((other.logprob for other in listed.values()), reverse=True)[:MOST_TOKENS]
        yield Token(own.decoded_token or "", own.logprob, listed_entropy(most))


def _shares(listed: Mapping[int, Logprob]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for each in listed.values():
        text = each.decoded_token or ""
        shares[text] = shares.get(text, 0.0) + exp(each.logprob)
    return shares
