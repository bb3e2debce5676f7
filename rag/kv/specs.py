"""The options of chunk-cache reuse: `reuse:` of a local language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.kv.policy.base import Policy
    from rag.kv.store.tiered import TieredStore
    from rag.kv.types import ModelIdentity


class PolicySpec(Spec):
    """Which tokens of reused chunks are computed again. `exact` policies change no answer; the others may."""

    exact: ClassVar[bool] = False

    use: str
    """The policy's name."""

    def build(self) -> Policy:
        """Raises `NotImplementedError` here; each policy makes its own."""
        raise NotImplementedError


class FullSpec(PolicySpec):
    """Compute everything; nothing is stored. Exact."""

    exact: ClassVar[bool] = True

    use: Literal["full"] = "full"

    def build(self) -> Policy:
        from rag.kv.policy.full import Full

        return Full()


class PrefixSpec(PolicySpec):
    """Reuse chunks while everything in front of them is the same, token by token. Exact, and seldom helps when rankings
    differ between questions."""

    exact: ClassVar[bool] = True

    use: Literal["prefix"] = "prefix"

    def build(self) -> Policy:
        from rag.kv.policy.prefix import ExactPrefix

        return ExactPrefix()


Encode: TypeAlias = Literal["behind-prefix", "alone"]


class NoneSpec(PolicySpec):
    """Use chunk caches as they are. The fastest; chunks do not see each other, so an answer that needs two of them
    together may be lost."""

    use: Literal["none"] = "none"
    encode: Encode = "behind-prefix"
    """Read a chunk behind the shared prefix, or without it (then its caches serve any prefix, at a loss)."""

    def build(self) -> Policy:
        from rag.kv.policy.none import NoRepair

        return NoRepair(encode=self.encode)


class FirstTokensSpec(PolicySpec):
    """Compute the first tokens of each chunk again (EPIC, arXiv 2410.15332). Cheap; repairs where a chunk begins, not
    references from one chunk to another."""

    use: Literal["first_k"] = "first_k"
    tokens: Annotated[int, Field(ge=1)] = 16
    """How many of each chunk."""
    encode: Encode = "behind-prefix"
    """Read a chunk behind the shared prefix, or without it (then its caches serve any prefix, at a loss)."""

    def build(self) -> Policy:
        from rag.kv.policy.first_k import FirstTokens

        return FirstTokens(tokens=self.tokens, encode=self.encode)


class HighestDeviationSpec(PolicySpec):
    """Compute the tokens again whose cached keys and values are farthest from fresh ones (CacheBlend, arXiv 2405.16444,
    with one check layer). The best trade measured so far; costs a pass through the first layers."""

    use: Literal["hkvd"] = "hkvd"
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.15
    """The share of all chunks' tokens."""
    check: Annotated[int, Field(ge=1)] = 1
    """The layer, from 0, whose keys are compared. A later one sees more of what chunks tell each other, and costs more:
    all tokens run through the layers up to it."""
    measure: Literal["keys", "keys+values"] = "keys"
    """What is compared; values say more of what a token means than of where it stands, and found less."""
    encode: Encode = "behind-prefix"
    """Read a chunk behind the shared prefix, or without it (then its caches serve any prefix, at a loss)."""

    def build(self) -> Policy:
        from rag.kv.policy.hkvd import HighestDeviation

        return HighestDeviation(ratio=self.ratio, check=self.check, measure=self.measure, encode=self.encode)


class CacheCraftSpec(PolicySpec):
    """Keep caches as they were in earlier prompts, and repair them by how much these had shaped them (Cache-Craft,
    arXiv 2502.15734). Exact where a context repeats; elsewhere a chunk may carry what it read beside it before."""

    use: Literal["cache_craft"] = "cache_craft"
    alpha: Annotated[float, Field(ge=0)] = 1.0
    """Scales the share of a chunk that is computed again; fit it on your own questions."""

    def build(self) -> Policy:
        from rag.kv.policy.cache_craft import CacheCraft

        return CacheCraft(alpha=self.alpha)


AnyPolicySpec: TypeAlias = Annotated[
    FullSpec | PrefixSpec | NoneSpec | FirstTokensSpec | HighestDeviationSpec | CacheCraftSpec,
    Field(discriminator="use"),
]
POLICIES: tuple[type[PolicySpec], ...] = (
    FullSpec,
    PrefixSpec,
    NoneSpec,
    FirstTokensSpec,
    HighestDeviationSpec,
    CacheCraftSpec,
)


class ReuseSpec(Spec):
    """Keys and values of chunks that were read before are kept and used again."""

    policy: AnyPolicySpec = PrefixSpec()
    """What is computed again. Only `full` and `prefix` are exact, and these only with ``precision: model``."""
    precision: Literal["model", "bf16", "int8"] = "model"
    """How caches are kept: as the model computes them (no loss), or rounded to a half or a quarter of float32."""
    device_mb: Annotated[int, Field(ge=0)] = 0
    """Megabytes of the model's device; 0 keeps none there. Without effect where the model runs on the processor."""
    memory_mb: Annotated[int, Field(ge=0)] = 1024
    """Megabytes of host memory."""
    disk_mb: Annotated[int, Field(ge=0)] = 10_240
    """Megabytes on disk."""
    path: Path | None = None
    """A folder for caches that outlive the process; several processes may share it. ``None`` keeps none on disk."""
    variants: Annotated[int, Field(ge=1)] = 4
    """How many caches of one chunk, read in different contexts, are kept."""

    question: Literal["again", "kept"] = "again"
    """Where a prompt is one that was read last, with the same question, and parts of sources left out, as what
    compression leaves of what it read: `again` reads the question behind what is left; `kept` goes on from the sources
    and the question as they were read there, when what is left out could be seen. Never exact; a prompt of the same
    sources is not concerned, there the question is found again without loss. `kept` is for the question whose stages
    that prompt was read for, and where each access list of its sources is still among them; else it is `again`."""

    @property
    def exact(self) -> bool:
        """Whether answers are those of a plain prefill."""
        kept = self.precision == "model" or self.policy.use == "full"
        return self.policy.exact and kept and self.question == "again"

    def store(self, identity: ModelIdentity) -> TieredStore:
        """An empty store, or the one at `path`; nothing is opened before the first use."""
        from rag.kv.store.disk import DiskTier
        from rag.kv.store.memory import MemoryTier
        from rag.kv.store.tiered import TieredStore

        disk = None
        if self.path is not None and self.disk_mb:
            name = f"{identity.model} {identity.revision} {identity.dtype}".replace("  ", " ")
            disk = DiskTier(self.path, self.disk_mb << 20, model=name, variants=self.variants)
        return TieredStore(
            device=MemoryTier(self.device_mb << 20, variants=self.variants),
            memory=MemoryTier(self.memory_mb << 20, variants=self.variants),
            disk=disk,
            precision=self.precision,
        )
