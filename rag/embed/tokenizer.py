"""The encoder's tokenizer, read from ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rag.embed.wordpiece import WordPieceCounter
from rag.errors import ModelError

if TYPE_CHECKING:
    import tokenizers


class FileTokenizer:
    """A `Tokenizer` of the `tokenizers` library. Read at first use; never truncates, never pads.

    `window` is the encoder's, special tokens included; `document_prompt` stands before every document.
    """

    def __init__(self, path: Path, *, window: int, document_prompt: str = "") -> None:
        self.path = path
        self.window = window
        self.document_prompt = document_prompt

    @cached_property
    def max_tokens(self) -> int:
        return self.window - len(self.ids([self.document_prompt])[0])

    def offsets(self, text: str) -> list[tuple[int, int]]:
        offsets: list[tuple[int, int]] = self._tokenizer.encode(_clean(text), add_special_tokens=False).offsets
        return offsets

    def count(self, texts: Sequence[str]) -> list[int]:
        clean = [_clean(text) for text in texts]
        if self._counter is not None:
            return self._counter.count(clean)
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text with the special tokens around them, as the encoder takes them."""
        clean = [_clean(text) for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(clean)]

    @cached_property
    def _counter(self) -> WordPieceCounter | None:
        return WordPieceCounter(self._tokenizer) if WordPieceCounter.fits(self._tokenizer) else None

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        import tokenizers

        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(self.path))
        except Exception as error:  # the library raises bare Exception, for a missing and for a malformed file
            raise ModelError(f"{self.path}: cannot be read as a tokenizer: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def _clean(text: str) -> str:
    """The text with lone surrogates, which the library refuses, replaced one for one, so that offsets stay."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
