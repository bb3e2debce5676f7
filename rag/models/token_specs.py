"""The options that say which encoder gives a vector for each token; every stage that compares tokens has them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import Field

from rag.config.dump import use_name
from rag.config.spec import Spec
from rag.embed.specs import EmbedderSpec

if TYPE_CHECKING:
    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.embed.base import Embedder
    from rag.models.token_encoder import TokenEncoder

T = TypeVar("T")


class HasEmbedder(Protocol):
    """What is asked of `rag.resources.Resources`."""

    @property
    def embedder(self) -> Embedder: ...

    def shared(self, key: Hashable, make: Callable[[], T]) -> T: ...


class TokenEncoderOptions(Spec):
    """Which encoder gives a vector for each token."""

    model: str | None = Field(None, min_length=1)
    """A sentence-transformers `MultiVectorEncoder` (a ColBERT): a folder, or a name on the Hugging Face hub; needs
    the extra `hf`. Empty: the token states of the pipeline's embedder."""
    revision: str | None = None
    """For `model`: a commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """For `model`: `cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    allow_download: bool = False
    """For `model`: fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        if self.model is None:
            return None
        return missing_package("sentence_transformers", extra="hf") or missing_weights(
            self.model, allow_download=self.allow_download
        )

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        embedder = pipeline.get("ingest.embed", EmbedderSpec)
        if self.model is None and embedder is not None and not embedder.has_token_states():
            given = f"which {embedder.use!r} as set in ingest.embed does not give"
            yield (*path, "use"), f"{use_name(self)!r} needs token states, {given}: set its `model`"

    def token_encoder(self, resources: HasEmbedder) -> TokenEncoder:
        """The encoder, shared with every stage that names it with the same options."""
        from rag.models.token_encoder import EmbedderTokenEncoder, MultiVectorTokenEncoder

        def make() -> TokenEncoder:
            if self.model is None:
                return EmbedderTokenEncoder(resources.embedder)
            return MultiVectorTokenEncoder(
                self.model, revision=self.revision, device=self.device, allow_download=self.allow_download
            )

        return resources.shared(self.encoder_key, make)

    @property
    def encoder_key(self) -> tuple[Hashable, ...]:
        """Stages with the same key share one encoder."""
        return ("token-encoder", self.model, self.revision, self.device, self.allow_download)

    def made_by(self, resources: HasEmbedder) -> str:
        """What tells its vectors from those of other encoders; what is kept of one is void for another."""
        from rag.config.weights import fingerprint

        if self.model is None:
            return str(resources.embedder.identity)
        return " ".join(filter(None, (fingerprint(self.model), self.revision)))
