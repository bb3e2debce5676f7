"""Seismic: approximate search over weighted terms, by blocks of similar documents in each term's postings.

Bruch, Nardini, Rulli and Venturini, arXiv 2404.18812, by the authors' library pyseismic-lsr (extra `seismic`). A block
has a summary, the largest weight of each term in it; a query passes over blocks whose summary promises too little.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import MissingExtraError, StoreError
from rag.index.base import Rows
from rag.models.sparse_encoder import WeightedTerms

if TYPE_CHECKING:
    import seismic

logger = logging.getLogger(__name__)

SMALL_VOCABULARY = 1 << 16  # terms that the library's smaller index can number
_BUILD = """
import json, sys, seismic
kind, source, target, options = sys.argv[1:]
getattr(seismic, kind).build(source, **json.loads(options)).save(target)
"""


@dataclass(frozen=True, slots=True)
class SeismicOptions:
    """The library's options, with the values its authors give for an accuracy of 0.99.

    Attributes:
        postings: kept for each term on average, the heaviest.
        longest: times `postings` that one term may keep.
        blocks: the share of a term's postings that become blocks.
        energy: the share of a block's weight that its summary keeps.
        query_terms: how many terms of a query are looked up, the heaviest.
        promise: the share of the last score kept that a block has to promise; higher passes over more.
    """

    postings: int = 3000
    longest: float = 6.0
    blocks: float = 0.2
    energy: float = 0.5
    query_terms: int = 10
    promise: float = 0.8

    @property
    def build(self) -> dict[str, float]:
        """The options of building."""
        return {
            "n_postings": self.postings,
            "max_fraction": self.longest,
            "centroid_fraction": self.blocks,
            "summary_energy": self.energy,
        }


class Seismic:
    """A built index over documents numbered from 0."""

    def __init__(self, index: seismic.SeismicIndexRaw | seismic.SeismicIndexRawLV, options: SeismicOptions) -> None:
        self.index = index
        self.options = options

    def find(self, query: WeightedTerms, *, k: int) -> Rows:
        """Some `k` documents with high scores, fewer where fewer match."""
        known = query.terms < self.index.dim  # the library ends at the last term that occurs, and panics beyond
        terms, weights = query.terms[known], query.weights[known]
        if not len(terms):
            return np.empty(0, np.int64)
        options = self.options
        found = self.index.search(terms, weights, k, options.query_terms, options.promise, 0, True)
        return np.array([document for _, document in found], np.int64)


def build(path: Path, documents: Sequence[WeightedTerms], *, terms: int, options: SeismicOptions) -> None:
    """Build an index of some documents and write it to `path`.

    In a process of its own, since the library reports its progress on standard output, which belongs to the answer.

    Raises:
        StoreError: the library failed.
    """
    import json

    source = path.with_suffix(".documents")
    try:
        source.write_bytes(_as_file(documents))
        arguments = [_kind(terms), str(source), str(path), json.dumps(options.build)]
        done = subprocess.run([sys.executable, "-c", _BUILD, *arguments], capture_output=True, text=True, check=False)
    finally:
        source.unlink(missing_ok=True)
    if done.returncode:
        raise StoreError(f"Seismic could not build an index of {len(documents)} chunks: {done.stderr.strip()[-500:]}")
    logger.debug("seismic: %s", done.stdout)


def load(path: Path, *, terms: int, options: SeismicOptions) -> Seismic:
    """Open what `build` wrote; call it on files whose checksum was compared.

    Raises:
        MissingExtraError: pyseismic-lsr is not installed.
    """
    try:
        import seismic
    except ImportError as error:
        raise MissingExtraError("pyseismic-lsr", extra="seismic", needed_for="Seismic") from error
    return Seismic(getattr(seismic, _kind(terms)).load(str(path)), options)


def _kind(terms: int) -> str:
    return "SeismicIndexRaw" if terms <= SMALL_VOCABULARY else "SeismicIndexRawLV"


def _as_file(documents: Sequence[WeightedTerms]) -> bytes:
    """The library's own format, all of 4 bytes: how many; of each, its length, its terms, its weights."""
    lengths = np.array([len(document.terms) for document in documents], np.int64)
    values = np.empty(1 + len(documents) + 2 * int(lengths.sum()), "<u4")
    values[0] = len(documents)
    at = 1
    for document, length in zip(documents, lengths.tolist(), strict=True):
        values[at] = length
        values[at + 1 : at + 1 + length] = document.terms
        values[at + 1 + length : at + 1 + 2 * length] = document.weights.astype("<f4").view("<u4")
        at += 1 + 2 * length
    return values.tobytes()
