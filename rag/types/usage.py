"""What a language model was asked to read and to write, and what it did not have to read again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from rag.types.document import Meta


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a model in this program spared by keeping the keys and values of passages (``llm.reuse``), in tokens.

    `reused` and `recomputed` are those of the prompts. On top of these, `read_alone` are those of passages that were
    not kept yet, `measured` those that ran through the first layers only, to find which to compute again. `from_memory`
    and `from_disk` count passages by where they were. `from_prompt` are those of the reused that stood in the prompt
    read before, the same passages in the same order or parts of them; `questions` counts questions that had been read
    behind it, so that they were not read again. `apart` says why that prompt did not serve, where it did not.
    """

    reused: int = 0
    recomputed: int = 0
    read_alone: int = 0
    measured: int = 0
    from_memory: int = 0
    from_disk: int = 0
    from_prompt: int = 0
    questions: int = 0
    apart: str = ""

    @staticmethod
    def of(notes: Meta) -> Reuse | None:
        """From the notes of a stage; ``None`` where it asked no model that keeps passages."""
        names = [each.name for each in fields(Reuse)]
        return Reuse(**{name: notes[name] for name in names}) if names[0] in notes else None  # type: ignore[arg-type]  # as `Usage.reuse_notes` gave them

    def __str__(self) -> str:
        """One line: ``1,020 tokens reused (1,020 of the prompt before, its question too), 681 computed``."""
        found = f"{self.reused:,} tokens reused"
        if self.from_prompt:
            asked = ", its question too" if self.questions else ""
            found += f" ({self.from_prompt:,} of the prompt before{asked})"
        counts = {
            "computed": self.recomputed,
            "of new sources read alone": self.read_alone,
            "measured": self.measured,
            "sources from memory": self.from_memory,
            "sources from disk": self.from_disk,
        }
        said = [found, *(f"{count:,} {name}" for name, count in counts.items() if count)]
        return ", ".join(said) + (f"; not as they stood before: {self.apart}" if self.apart else "")

    def __add__(self, other: Reuse) -> Reuse:
        return Reuse(
            self.reused + other.reused,
            self.recomputed + other.recomputed,
            self.read_alone + other.read_alone,
            self.measured + other.measured,
            self.from_memory + other.from_memory,
            self.from_disk + other.from_disk,
            self.from_prompt + other.from_prompt,
            self.questions + other.questions,
            self.apart or other.apart,
        )


@dataclass(frozen=True, slots=True)
class CacheKept:
    """What stayed of prompts' keys and values while replies were written (``llm.compress_cache``).

    `cache_entries` are those of the whole prompts, over all layers and key heads, `kept_entries` what stayed of them;
    both in bytes too.
    """

    cache_method: str
    cache_entries: int
    kept_entries: int
    cache_bytes: int
    kept_bytes: int

    @staticmethod
    def of(notes: Meta) -> CacheKept | None:
        """From the notes of a stage; ``None`` where the whole cache was kept."""
        names = [each.name for each in fields(CacheKept)]
        return CacheKept(**{name: notes[name] for name in names}) if names[0] in notes else None  # type: ignore[arg-type]  # as `Usage.kept_notes` gave them

    def __str__(self) -> str:
        """``25% of the keys and values kept by snapkv, 3.2 MB``."""
        share = self.kept_entries / self.cache_entries
        return f"{share:.0%} of the keys and values kept by {self.cache_method}, {self.kept_bytes / 2**20:.1f} MB"

    def __add__(self, other: CacheKept) -> CacheKept:
        return CacheKept(
            self.cache_method,
            self.cache_entries + other.cache_entries,
            self.kept_entries + other.kept_entries,
            self.cache_bytes + other.cache_bytes,
            self.kept_bytes + other.kept_bytes,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation cost, in the generator's own tokens; `estimated` where a server did not count them.

    `cached_tokens` are those of the prompt that the engine found in its cache and did not compute again. `price` is in
    the currency of the pipeline's price table, 0 without one.
    `reuse` says more of `cached_tokens` where a model keeps passages, `kept` what was written from where a model drops
    a part of its cache.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    estimated: bool = False
    cached_tokens: int = 0
    price: float = 0.0
    reuse: Reuse | None = None
    kept: CacheKept | None = None

    @property
    def kept_notes(self) -> Meta:
        """`kept` for a stage's notes; nothing where everything is."""
        return {} if self.kept is None else asdict(self.kept)

    @property
    def reuse_notes(self) -> Meta:
        """`reuse` for a stage's notes; nothing where no passages are kept."""
        return {} if self.reuse is None else asdict(self.reuse)

    def __add__(self, other: Usage) -> Usage:
        both = [each.reuse for each in (self, other) if each.reuse is not None]
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.requests + other.requests,
            self.estimated or other.estimated,
            self.cached_tokens + other.cached_tokens,
            self.price + other.price,
            sum(both, Reuse()) if both else None,
            self.kept + other.kept if self.kept and other.kept else self.kept or other.kept,
        )
