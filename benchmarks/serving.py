"""What the framework adds to a generation call, and how long after the engine's first token ours comes.

    python benchmarks/serving.py [--calls 200]

Each engine is asked bare and through the framework, turn by turn, with the same prompt and tokens: a stub server and a
real vLLM server by plain httpx against the generator of the pipeline over `openai`; vLLM in process as its own API
means it (`AsyncLLM.generate` of ready token ids, read in the engine's own event loop) against the generator over
`vllm`, read in another thread. The generator's call holds all that lies between retrieval and the engine: filling the
prompt template with the evidence, counting tokens, the chat format, tokenising where the engine is in process, the
request, handing over every token, and looking out for abstention. Prompts are all different behind a common beginning.
vLLM is measured where it is installed (`make bench-vllm`).

A line an engine: median milliseconds to the first token, to the last, and of the processor in all threads of this
process (which holds the stub, and of vLLM what is not its model), bare and ours, and the median of the paired
differences with its 10th and 90th percentile. The last line sums up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np

from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS, render
from rag.library import shipped
from rag.models.llm import LanguageModel, Message
from rag.models.openai import OpenAIModel
from rag.models.template import Template
from rag.testing.openai_stub import OpenAIStub
from rag.types import Evidence, Prompt, Span

if TYPE_CHECKING:
    from rag.models.vllm import VllmModel

TOKENS = 16
SOURCES = 8
Times = tuple[float, float, float]
"""Milliseconds to the first token, to the last, and of the processor."""
Call = Callable[[], Times]
Prepare = Callable[[Prompt], Call]
"""Makes a call; before the clock runs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    calls = parser.parse_args().calls
    worst: list[tuple[float, ...]] = []
    with OpenAIStub() as stub:
        model = OpenAIModel(base_url=stub.base_url, model="stub", max_tokens=TOKENS)
        worst.append(compare("stub server", bare_server(stub.base_url, "stub"), ours(model), calls))
        model.close()
    if find_spec("vllm") is None:
        print("vLLM is not installed: not measured")
    else:
        with tempfile.TemporaryDirectory() as folder:
            worst += vllm(Path(folder), calls)
    first, last, busy = (max(values) for values in zip(*worst, strict=True))
    print(
        f"beyond the engine at most: {first:.2f} ms to the first token, {last:.2f} to the last, {busy:.2f} of processor"
    )


def vllm(folder: Path, calls: int) -> list[tuple[float, ...]]:
    """vLLM in process, then behind its server."""
    from rag.models.vllm import VllmModel
    from rag.models.vllm_specs import VllmSpec
    from rag.testing.tiny_llama import make_tiny_llama
    from rag.testing.vllm_server import VllmServer

    path = make_tiny_llama(folder / "model", window=8192)
    spec = VllmSpec(model=str(path), dtype="float32", cache_gib=0.125, block_tokens=32, eager=True, max_tokens=TOKENS)
    found = []
    with closing(spec.build()) as model:
        assert isinstance(model, VllmModel)
        found.append(compare("vLLM in process", bare_engine(model), ours(model), calls))
    server = VllmServer(path, "--dtype", "float32", "--cache-gib", "0.125", "--block-tokens", "32", "--eager")
    server.start()
    try:
        client = OpenAIModel(
            base_url=server.base_url, model=server.name, max_tokens=TOKENS, context_tokens=8192, continues=True
        )
        found.append(compare("vLLM server", bare_server(server.base_url, server.name), ours(client), calls))
        client.close()
    finally:
        server.stop()
    return found


def compare(name: str, bare: Prepare, through: Prepare, calls: int) -> tuple[float, ...]:
    """Ask both in turn and print; the median differences, in ms."""
    rows = []
    for at in range(-10, calls):  # the first ones warm up
        pair = [made(prompt(2 * at + turn))() for turn, made in enumerate((bare, through))]
        if at >= 0:
            rows.append(pair)
    times = np.array(rows)  # (calls, bare and ours, first and last and processor)
    middle = np.median(times, axis=0)
    differences = times[:, 1] - times[:, 0]
    said = []
    for at, what in enumerate(("first token", "last token", "processor")):
        low, half, high = np.percentile(differences[:, at], [10, 50, 90])
        said.append(f"{what} {middle[0, at]:.2f} bare, {middle[1, at]:.2f} ours: {half:+.2f} [{low:+.2f}, {high:+.2f}]")
    print(f"{name:16} {'; '.join(said)} ms", flush=True)
    return tuple(np.median(differences, axis=0).tolist())


class Clock:
    """Runs from when it is made; `token` is told of each."""

    def __init__(self) -> None:
        self.busy = time.process_time()
        self.started = time.perf_counter()
        self.first: float | None = None
        self.last = self.started

    def token(self) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last

    def times(self) -> Times:
        assert self.first is not None
        busy = time.process_time() - self.busy
        return 1000 * (self.first - self.started), 1000 * (self.last - self.started), 1000 * busy


def timed(tokens: Callable[[], Iterator[object]]) -> Call:
    def call() -> Times:
        clock = Clock()
        for _ in tokens():
            clock.token()
        return clock.times()

    return call


def prompt(at: int) -> Prompt:
    """A question with evidence; no two alike."""
    texts = [f"Lamp {number} is lit by keeper {number * 7}. It burns oil until dawn." for number in range(SOURCES)]
    evidence = tuple(
        Evidence(span=Span(f"{number}.md", 0, len(text)), text=text, score=1.0, chunk_id=f"{number}", source="notes")
        for number, text in enumerate(texts)
    )
    return Prompt(question=f"Who lights lamp {at}, and until when?", evidence=evidence)


# ---- through the framework


def ours(model: LanguageModel) -> Prepare:
    generator = LanguageModelGenerator(model, template(), max_tokens=TOKENS)
    return lambda asked: timed(lambda: iter(generator.start([asked])))


def template() -> Template:
    text = (shipped("prompts") / "answer.md").read_text(encoding="utf-8")
    return Template.parse(text, name="answer", fields=FIELDS)


# ---- bare, from the messages that the framework would send


def messages(asked: Prompt) -> list[Message]:
    return render(asked, template(), tokens=100_000, count=len)[0]


def bare_server(base_url: str, name: str) -> Prepare:
    client = httpx.Client(trust_env=False, timeout=60)

    def prepare(asked: Prompt) -> Call:
        chat = [{"role": message.role, "content": message.content} for message in messages(asked)]
        body = {"model": name, "messages": chat, "max_tokens": TOKENS, "temperature": 0.0, "stream": True}

        def tokens() -> Iterator[object]:
            with client.stream("POST", f"{base_url}/chat/completions", json=body) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        choices = json.loads(line[6:]).get("choices") or [{}]
                        if choices[0].get("delta", {}).get("content"):
                            yield line

        return timed(tokens)

    return prepare


def bare_engine(model: VllmModel) -> Prepare:
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    engine = model.engine.load()
    numbers = count()

    async def read(ids: list[int]) -> Times:
        clock = Clock()
        sampling = SamplingParams(temperature=0.0, max_tokens=TOKENS, output_kind=RequestOutputKind.DELTA)
        async for _ in engine.generate(tokens_input(ids), sampling, f"bare-{next(numbers)}"):
            clock.token()
        return clock.times()

    def prepare(asked: Prompt) -> Call:
        ids = model.prompt(messages(asked))
        return lambda: model.engine.submit(read(ids)).result()

    return prepare


if __name__ == "__main__":
    main()
