"""The n-gram segments of an index, kept in files beside it and brought up to date.

They are derived: named with what they were made of, made anew from the stored texts where missing or damaged. To open
them compares their sizes and their first bytes with what was written, since to read all of them would take seconds for
each process; `rag counts --verify` and `rag doctor --deep` compare every byte. A document's number stands for one
version of one text and is never given twice, so that a segment is right in every generation; what a generation does not
have is masked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.index.derived import DEAD, DerivedFile
from rag.index.ngrams.gather import Gatherer
from rag.index.ngrams.segment import LiveSegment, NgramSegment
from rag.index.tensors import map_tensors, write_tensors

logger = logging.getLogger(__name__)

TOKENS = 1 << 24  # in a segment: some 130 MB on disk, and 1.2 GB of memory while it is made


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents of one generation, and where their segments lie.

    Attributes:
        folder: made when a file is written.
        key: the index and how words are made. Files of another key are void.
        documents: (d,) the numbers of the live documents, ascending.
        texts: gives (number, text) of some of them.
    """

    folder: Path
    key: str
    documents: NDArray[np.int64]
    texts: Callable[[Sequence[int]], Iterable[tuple[int, str]]]
    lowercase: bool


def keep(corpus: Corpus, *, tokens: int = TOKENS) -> list[LiveSegment]:
    """Read the files and bring them up to date; together the segments hold every live document once.

    New documents make a new segment. It takes in the smallest others while they are at most twice as large as what it
    has, so that a word is sorted a logarithmic number of times, and those of which more than 20 % are deleted.

    Args:
        tokens: about the most in a segment.
    """
    held = _read(corpus)
    known = np.concatenate(
        [segment.segment.documents[segment.live] for segment in held.values()] or [np.empty(0, np.int64)]
    )
    missing = np.setdiff1d(corpus.documents, known)
    free = (number for number in count(1) if number not in held)
    written: dict[int, LiveSegment] = {}
    gathered = Gatherer(lowercase=corpus.lowercase)

    def write() -> None:
        nonlocal gathered
        number = next(free)
        segment = _write(corpus, number, gathered.segment())
        written[number] = LiveSegment(segment, np.isin(segment.documents, corpus.documents))
        gathered = Gatherer(lowercase=corpus.lowercase)

    for number, text in corpus.texts(missing.tolist()):
        gathered.add(number, text)
        if gathered.size >= tokens:
            write()
    joined = _to_join(held, gathered.size, highest=int(corpus.documents.max(initial=0)), tokens=tokens)
    for number in joined:
        segment = held[number]
        if gathered.size and gathered.size + segment.live_size > tokens:
            write()
        gathered.absorb(segment.segment, segment.live)
    if gathered.size:
        write()
    for number in joined:
        del held[number]
        _file(corpus, number).remove()
    return [*held.values(), *written.values()]


def _to_join(held: dict[int, LiveSegment], size: int, *, highest: int, tokens: int) -> list[int]:
    """The segments that go into a new one of `size`, smallest first.

    A document of a higher number than any live one is of a later generation than the reader's, and no waste.
    """
    chosen = [number for number, segment in held.items() if segment.waste(highest) > DEAD * segment.segment.size]
    total = size + sum(held[number].live_size for number in chosen)
    for number in sorted(held.keys() - set(chosen), key=lambda number: held[number].live_size):
        if held[number].live_size > 2 * total or total + held[number].live_size > tokens:
            break
        chosen.append(number)
        total += held[number].live_size
    return sorted(chosen, key=lambda number: held[number].live_size)


def _read(corpus: Corpus) -> dict[int, LiveSegment]:
    """Segments by number; a document that two processes wrote at the same time counts in the first of them."""
    held: dict[int, LiveSegment] = {}
    left = corpus.documents
    for path in sorted(corpus.folder.glob("[0-9]*.safetensors")):
        segment = _load(corpus, int(path.stem))
        if segment is None:  # damaged, or of an index that was here before
            _file(corpus, int(path.stem)).remove()
        else:
            held[int(path.stem)] = LiveSegment(segment, np.isin(segment.documents, left))
            left = np.setdiff1d(left, segment.documents)
    return held


def _file(corpus: Corpus, number: int) -> DerivedFile:
    return DerivedFile(corpus.folder / f"{number:06}.safetensors", corpus.key)


def _load(corpus: Corpus, number: int) -> NgramSegment | None:
    file = _file(corpus, number)
    return None if file.chunks(deep=False) is None else NgramSegment(map_tensors(file.path))


def _write(corpus: Corpus, number: int, segment: NgramSegment) -> NgramSegment:
    """The segment, mapped from its file; in memory where the folder cannot be written to."""
    logger.info("%s: %d documents, %d words", corpus.folder, len(segment.documents), segment.size)
    _file(corpus, number).write(segment.documents, partial(write_tensors, tensors=segment.tensors))
    return _load(corpus, number) or segment
