"""The token vectors of every chunk, as codes in parts beside the index (`rag.index.parts`)."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexMismatchError
from rag.index.base import Rows
from rag.index.parts import Kept, Rowed, keep, read
from rag.index.tensors import Tensor
from rag.index.token_codes import TokenCodes, coded
from rag.models.token_encoder import TokenEncoder

FOLDER = "multivector"
"""Of an index: a folder within for each encoder, `rag.index.parts.rowed`."""
BATCH = 128  # texts encoded at a time
_NAME = "tokens"


def kept_tokens(rows: Rowed, encoder: TokenEncoder) -> Kept:
    """Those of every chunk; what is missing is encoded now, and stays."""

    def encode(some: Rows) -> tuple[NDArray[np.int64], dict[str, Tensor]]:
        texts = rows.texts(some)
        found: list[TokenCodes] = []
        for start in range(0, len(texts), BATCH):
            found += [coded(vectors) for vectors in encoder.encode_documents(texts[start : start + BATCH])]
        lengths = np.array([len(each.codes) for each in found], np.int64)
        codes = np.concatenate([each.codes for each in found])
        return lengths, {"codes": codes, "scales": np.concatenate([each.scales for each in found])}

    return keep(rows, _NAME, encode=encode)


def stored_tokens(rows: Rowed) -> Kept:
    """Those of every chunk as an ingest left them; nothing is encoded.

    Raises:
        IndexMismatchError: a chunk has none; says how many.
    """
    kept = read(rows, _NAME)
    missing = len(kept.missing(rows.live))
    if missing:
        raise IndexMismatchError(
            f"{rows.folder}: {missing} of {np.count_nonzero(rows.live)} chunks have no token vectors of this encoder",
            hint="`rag ingest` with this pipeline makes those that are missing, from the texts the index holds",
        )
    return kept


def codes_of(tokens: Kept, rows: Rows) -> list[TokenCodes]:
    """The token vectors of some live rows."""
    found: list[TokenCodes] = []
    for part, at in tokens.find(tokens.places[rows]):
        of_chunk = slice(part.starts[at], part.starts[at + 1])
        codes, scales = part.tensors["codes"][of_chunk], part.tensors["scales"][of_chunk]
        found.append(TokenCodes(cast("NDArray[np.int8]", codes), cast("NDArray[np.float32]", scales)))
    return found
