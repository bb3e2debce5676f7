"""Token vectors of recent documents, so that what many questions find is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from rag.models.token_encoder import TokenEncoder, TokenVectors


class CachedTokenEncoder:
    """Another encoder whose document vectors are kept, the ones last used, up to `kept_bytes`."""

    def __init__(self, encoder: TokenEncoder, *, kept_bytes: int) -> None:
        self.encoder = encoder
        self.kept_bytes = kept_bytes
        self._kept: OrderedDict[str, TokenVectors] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self.encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
            for text in known:
                self._kept.move_to_end(text)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        encoded = dict(zip(new, self.encoder.encode_documents(new), strict=True)) if new else {}
        with self._lock:
            for text, vectors in encoded.items():
                if text not in self._kept:
                    self._kept[text] = vectors
                    self._bytes += vectors.nbytes
            while self._bytes > self.kept_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return [known[text] if text in known else encoded[text] for text in texts]
