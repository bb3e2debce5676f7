"""Models in the format of the Hugging Face hub, run by torch: how they are found, loaded and let go of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rag.errors import MissingExtraError, ModelNotFoundError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

M = TypeVar("M")


class HubModel(Generic[M]):
    """A model that is loaded at first use, once for all threads; code from its repository is never run.

    Subclasses load it in `_load` and name what they are in `kind`, as "a cross-encoder".

    Args:
        model: a folder, or a name on the hub.
        revision: a commit or tag of the hub's repository; ``None`` for its newest.
        device: as torch names it; ``None`` for the best there is, or the CPU where the library does not choose.
        allow_download: whether weights that are not in the hub's cache may be fetched.

    Raises (at first use):
        MissingExtraError: a package of the extra ``hf`` is not installed.
        ModelNotFoundError: there are no such weights; names the model.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        batch_size: int = 32,
        allow_download: bool = False,
    ) -> None:
        self.model = model
        self.revision = revision
        self.device = device
        self.batch_size = batch_size
        self.allow_download = allow_download
        self._lock = threading.Lock()
        self._loaded: M | None = None

    def close(self) -> None:
        """Let go of the weights; a later use loads them again."""
        with self._lock:
            self._loaded = None

    def _opened(self) -> M:
        with self._lock:
            if self._loaded is None:
                with self._explained():
                    self._loaded = self._load()
            return self._loaded

    def _load(self) -> M:
        raise NotImplementedError(type(self).__name__)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            package = error.name or "sentence_transformers"
            raise MissingExtraError(package, extra="hf", needed_for=self.kind) from error
        except (OSError, ValueError) as error:  # not in the cache, no such repository, no network; a foreign folder
            raise ModelNotFoundError(
                f"cannot load {self.model!r}: {error}", hint="set allow_download: true, or give a folder"
            ) from error


class TransformersModel(HubModel[tuple["PreTrainedTokenizerBase", "PreTrainedModel"]]):
    """A tokenizer and a model of transformers, in evaluation mode. Subclasses say in `auto` what reads the model."""

    auto: ClassVar[str] = "AutoModel"

    def _load(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        import transformers

        reads = getattr(transformers, self.auto)
        revision, local = self.revision or "main", not self.allow_download
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.model, revision=revision, local_files_only=local)
        model = reads.from_pretrained(self.model, revision=revision, local_files_only=local)
        return tokenizer, model.to(self.device or "cpu").eval()
