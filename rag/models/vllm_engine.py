"""vLLM's engine in this program: its event loop runs in a thread of its own, its model in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

from rag.errors import BackendError, MissingExtraError, ModelError, ModelNotFoundError
from rag.models.caller import CALLER

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

T = TypeVar("T")

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_NO_USAGE_STATS": "1",  # it reports its use to its makers unless told not to
    "LMCACHE_TRACK_USAGE": "false",  # so does LMCache, where a connector loads it
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output is for answers
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would inherit the locks of our threads
}
"""What the engine reads from the environment, where the user has not set it."""


class VllmEngine:
    """Writes for many callers at once, each in its own thread; the engine batches what runs at the same time.

    Loads at first use. A caller that stops iterating takes its request out of the engine. An engine that died is loaded
    again by the next request.

    Args:
        model: a folder, or a name on the Hugging Face hub.
        arguments: of ``vllm.AsyncEngineArgs``, by name, beside the model's.

    Raises:
        ModelError: the engine cannot load the model, or refuses a prompt.
        BackendError: the engine died, or was closed while it wrote.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        allow_download: bool = False,
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        self.model = model
        self.revision = revision
        self.allow_download = allow_download
        self.arguments = arguments or {}
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._engine: AsyncLLM | None = None
        self._counters: CollectorRegistry | None = None
        self._numbers = count()

    def load(self) -> AsyncLLM:
        """The engine, loaded."""
        with self._lock:
            if self._engine is not None and self._engine.errored:
                self._unload()
            if self._engine is None:
                self._engine = self._start()
            return self._engine

    def generate(self, prompt: Sequence[int], sampling: SamplingParams) -> Generator[RequestOutput, None, None]:
        """What the engine gives for a prompt of token ids, as it comes."""
        engine = self.load()
        ready: SimpleQueue[RequestOutput | BaseException | None] = SimpleQueue()
        request = self.submit(_pump(engine, list(prompt), sampling, f"rag-{next(self._numbers)}", ready))
        try:
            with CALLER.get().stopping(request.cancel):
                while (item := ready.get()) is not None:
                    if isinstance(item, BaseException):
                        raise self._failure(item) from item
                    yield item
        finally:
            request.cancel()  # if it still runs, the engine drops it

    def counters(self) -> str:
        """What the engine has counted since it was loaded, as Prometheus text."""
        from prometheus_client import generate_latest

        self.load()
        assert self._counters is not None
        text: str = generate_latest(self._counters).decode()
        return text

    def close(self) -> None:
        """End the engine's process, which frees its memory; the next request would load it again."""
        with self._lock:
            self._unload()

    # ---- the thread

    def _start(self) -> AsyncLLM:
        if find_spec("vllm") is None:
            raise MissingExtraError("vllm", extra="vllm", needed_for="llm `vllm`")
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        arguments = {**self.arguments, "model": self._weights(), "served_model_name": self.model}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="rag-vllm", daemon=True)
        self._thread.start()
        try:
            engine = self.submit(_load(arguments)).result()
        except Exception as error:  # whatever a wrong model, too little memory or a missing kernel raises
            self._stop_loop()
            raise ModelError(
                f"vLLM cannot load {self.model!r}: {_last_line(error)}",
                hint="its own log on standard error says more; VLLM_LOGGING_LEVEL=INFO says everything",
            ) from error
        self._counters = _counters()
        return engine

    def _weights(self) -> str:
        """The folder that holds the model; fetched from the hub only where that is allowed."""
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            return str(folder)
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return str(
                snapshot_download(
                    self.model,
                    revision=self.revision,
                    local_files_only=not self.allow_download,
                    ignore_patterns=["*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx"],
                )
            )
        except LocalEntryNotFoundError as error:
            raise ModelNotFoundError(
                f"no weights of {self.model!r} on this machine",
                hint="set llm.allow_download: true, or give llm.model a folder that has them",
            ) from error

    def submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Run a coroutine in the engine's event loop.

        Raises:
            BackendError: the engine is not loaded.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            raise BackendError("vLLM: the engine was closed")
        return asyncio.run_coroutine_threadsafe(work, loop)

    def _unload(self) -> None:
        if self._engine is not None:
            self.submit(_shut_down(self._engine)).result()
            self._engine = None
        self._stop_loop()

    def _stop_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _failure(self, error: BaseException) -> BackendError | ModelError:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        if isinstance(error, asyncio.CancelledError):
            return BackendError("vLLM: the engine was closed while it wrote")
        if isinstance(error, EngineDeadError):
            return BackendError(
                "vLLM: the engine died while it wrote", hint="its log says why; the next request loads it again"
            )
        if isinstance(error, (ValueError, VLLMClientError)):
            return ModelError(f"vLLM refuses the prompt: {_last_line(error)}")
        return BackendError(f"vLLM failed: {_last_line(error)}")


async def _load(arguments: Mapping[str, object]) -> AsyncLLM:
    from vllm import AsyncEngineArgs
    from vllm.config import KVTransferConfig
    from vllm.v1.engine.async_llm import AsyncLLM

    transfer = arguments.get("kv_transfer_config")
    made = {"kv_transfer_config": KVTransferConfig(**transfer)} if isinstance(transfer, dict) else {}
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**{**arguments, **made}))


def _counters() -> CollectorRegistry:
    """The counters of the engine loaded last. vLLM takes them out of the common registry when it loads another one."""
    from prometheus_client import REGISTRY, CollectorRegistry

    own = CollectorRegistry()
    for collector in list(REGISTRY._collector_to_names):  # as vLLM itself finds them
        if getattr(collector, "_name", "").startswith("vllm:"):
            own.register(collector)
    return own


async def _pump(
    engine: AsyncLLM,
    prompt: list[int],
    sampling: SamplingParams,
    request_id: str,
    ready: SimpleQueue[RequestOutput | BaseException | None],
) -> None:
    from vllm.inputs import tokens_input

    try:
        async for output in engine.generate(tokens_input(prompt), sampling, request_id):
            ready.put(output)
    except BaseException as error:
        ready.put(error)
        if not isinstance(error, Exception):
            raise
    else:
        ready.put(None)


async def _shut_down(engine: AsyncLLM) -> None:
    me = asyncio.current_task()
    running = [task for task in asyncio.all_tasks() if task is not me]
    engine.shutdown()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
