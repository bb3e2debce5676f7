"""What is known of a stored cache without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Profile:
    """How a chunk attended when it was read, from Cache-Craft (arXiv 2502.15734, eq. 3, 9-11); means over layers.

    `before` are the keys of the chunks in front of it then, `inter` how much attention it paid to each of them, summed
    over its tokens; `outside` and `inside` are the attention to them and to itself, per pair of tokens.
    """

    before: tuple[bytes, ...]
    inter: tuple[float, ...]
    outside: float
    inside: float


@dataclass(frozen=True, slots=True)
class Variant:
    """One cache of a chunk: `chunk` is its content's key, `context` a digest of what stood between prefix and chunk.

    `work` is what it took to compute, in floating-point operations.
    """

    chunk: bytes
    context: bytes
    tokens: int
    work: float
    profile: Profile | None = None

    @property
    def key(self) -> bytes:
        """16 bytes, of chunk and context."""
        return blake2b(self.chunk + self.context, digest_size=16).digest()
