"""The options of smaller caches: `compress_cache:` of a local language model. All of them are lossy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from rag.config.spec import Spec
from rag.models.heads_option import HeadsPath, missing_heads

if TYPE_CHECKING:
    from rag.kv.compress.base import CacheCompressor
    from rag.kv.compress.heads import KeyHead
    from rag.models.local.loading import Loaded


class CompressCacheSpec(Spec):
    """Which keys and values of a long prompt stay while a reply is written. Lossy: all but the reply's first token is
    written without what was dropped (docs/kv-compression.md)."""

    use: str
    """The method's name."""
    keep: float = Field(0.5, gt=0, le=1)
    """The share of the prompt's entries that stays, the question's among them."""
    minimum: int = Field(256, ge=0)
    """Prompts with up to so many tokens stay whole, longer ones keep so many."""

    def missing(self) -> str | None:
        """A sentence on what must be there first and is not; ``None`` if nothing."""
        return None

    def build(self, loaded: Loaded) -> CacheCompressor:
        """Make the method for a model; every subclass does.

        Raises:
            ModelError: it does not fit the model.
        """
        raise NotImplementedError(type(self).__name__)


class SnapKVSpec(CompressCacheSpec):
    """Each head keeps what the question attends to most, and its neighbours (SnapKV, arXiv 2404.14469). Lossy."""

    use: Literal["snapkv"] = "snapkv"
    neighbours: int = Field(3, ge=0)
    """How many tokens on each side a token brings along, so that what is kept is not torn apart."""

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.snapkv import SnapKV

        return SnapKV(self.keep, neighbours=self.neighbours, minimum=self.minimum)


class CriticSpec(CompressCacheSpec):
    """All heads keep the same tokens, those that the question attends to most (like CRITIC, arXiv 2504.01281: of its
    three terms the attention). Lossy."""

    use: Literal["critic"] = "critic"

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.critic import Critic

        return Critic(self.keep, minimum=self.minimum)


class TokenSelectSpec(CompressCacheSpec):
    """Everything stays in memory; each written token attends to those tokens that it looks at most (like TokenSelect,
    arXiv 2411.02886). Lossy, and spares no memory."""

    use: Literal["tokenselect"] = "tokenselect"
    similarity: float = Field(0.9, ge=0)
    """How alike two queries in a row must be, by cosine, for the second to read what the first chose; above 1 chooses
    at every token."""

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.tokenselect import TokenSelect

        return TokenSelect(self.keep, similarity=self.similarity, minimum=self.minimum)


class HeadSplitSpec(CompressCacheSpec):
    """What methods have in common that let some heads keep everything."""

    heads: HeadsPath
    """A file of `rag heads detect` for this very model; one of another model is refused."""
    sinks: int = Field(16, ge=0)
    """First tokens that the other heads keep."""
    recent: int = Field(64, ge=0)
    """Last tokens that the other heads keep; the whole question stays in any case."""

    def missing(self) -> str | None:
        return missing_heads(self.heads)

    def ranking(self, loaded: Loaded) -> tuple[KeyHead, ...]:
        """All key heads of the model, best first: each as good as its best query head."""
        from rag.models.attention_heads import detected_for

        config = loaded.model.config.get_text_config(decoder=True)
        key_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        shared = config.num_attention_heads // key_heads
        scores = detected_for(loaded.anatomy, Path(self.heads)).scores
        return tuple(dict.fromkeys((head.layer, head.head // shared) for head, _ in scores))


class HeadsSpec(HeadSplitSpec):
    """Heads that retrieve keep everything, the others the prompt's first and last tokens (like DuoAttention, arXiv
    2410.10819, with detected heads instead of trained gates). Lossy."""

    use: Literal["heads"] = "heads"

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.heads import RetrievalHeads

        ranking = self.ranking(loaded)
        return RetrievalHeads(ranking, self.keep, sinks=self.sinks, recent=self.recent, minimum=self.minimum)


class RazorSpec(HeadSplitSpec):
    """As `heads`, and the mean of what a head drops stays as one entry (RazorAttention, arXiv 2407.15891, with heads of
    `rag heads detect`). Lossy."""

    use: Literal["razor"] = "razor"

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.razor import Razor

        ranking = self.ranking(loaded)
        return Razor(ranking, self.keep, sinks=self.sinks, recent=self.recent, minimum=self.minimum)


class DraftSpec(CompressCacheSpec):
    """A small model with the same tokenizer reads the prompt as well, and its attention selects for the large one (like
    SpeContext, arXiv 2512.00722, with any model instead of a distilled one, once instead of at every token). Lossy."""

    use: Literal["draft"] = "draft"
    model: str = Field(min_length=1)
    """The small model: a folder, or a name on the Hugging Face hub."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_weights

        return missing_weights(self.model, allow_download=self.allow_download)

    def build(self, loaded: Loaded) -> CacheCompressor:
        from rag.kv.compress.draft import Draft
        from rag.models.local.compressing import DraftModel
        from rag.models.local.loading import Loader

        loader = Loader(
            self.model,
            revision=self.revision,
            device=str(loaded.model.device),
            allow_download=self.allow_download,
        )
        return Draft(DraftModel(loader, loaded), self.keep, minimum=self.minimum)


AnyCompressCacheSpec: TypeAlias = Annotated[
    SnapKVSpec | CriticSpec | TokenSelectSpec | HeadsSpec | RazorSpec | DraftSpec, Field(discriminator="use")
]
METHODS: tuple[type[CompressCacheSpec], ...] = (
    SnapKVSpec,
    CriticSpec,
    TokenSelectSpec,
    HeadsSpec,
    RazorSpec,
    DraftSpec,
)
