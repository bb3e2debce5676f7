"""Writes to an index until it is killed or its disk is full; run by the tests beside it, one process for each round.

Reads a line of JSON for each round: where, the seed, how large a file may get. Forks a child, which says ``pid``, then
before each commit ``intent`` and after it ``ack``, with all documents and their versions. When the child is gone, it
says ``end`` and the exit code.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import traceback

import numpy as np

from rag.embed.base import EmbedderIdentity
from rag.errors import StoreError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.index.writer import Writer
from rag.types import Chunk, Document, Span

IDENTITY = EmbedderIdentity(model="fake", revision="1", dimension=32)
NAMES = [f"d{n:02d}" for n in range(24)]


def say(word: str, value: object) -> None:
    os.write(1, f"{word} {json.dumps(value)}\n".encode())


def document(name: str, version: int) -> tuple[Document, list[Chunk]]:
    """A document of several chunks, each of which tells its version and how many there are."""
    count = 1 + (version * 7 + len(name)) % 9
    lines = [f"{name} version{version} line{n} of {count} {'filler ' * (version % 40)}" for n in range(count)]
    chunks, start = [], 0
    for line in lines:
        chunks.append(Chunk(span=Span(name, start, start + len(line)), text=line))
        start += len(line) + 1
    return Document(id=name, text="\n".join(lines), meta={"version": version}, access=("ada",)), chunks


def change(writer: Writer, rng: random.Random, state: dict[str, int], version: int) -> None:
    for name in rng.sample(NAMES, rng.randint(1, 6)):
        if name in state and rng.random() < 0.3:
            writer.remove(name)
            del state[name]
        else:
            made, chunks = document(name, version)
            vectors = np.random.default_rng(version).standard_normal((len(chunks), 32)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            writer.add(made, chunks, vectors, stamp=str(version), fingerprint="f")
            state[name] = version


def write(path: str, seed: int, largest_file: int | None) -> None:
    say("pid", os.getpid())
    rng = random.Random(seed)
    with IndexDirectory(IndexSpec(path=path)).writer(IDENTITY) as writer:
        state = {name: int(writer.known(name).stamp) for name in writer.document_ids()}
        for version in range(seed * 1000, seed * 1000 + 1000):
            change(writer, rng, state, version)
            say("intent", state)
            if largest_file is not None and version % 5 == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randint(0, largest_file), resource.RLIM_INFINITY))
            try:
                writer.commit()
            except StoreError as error:
                say("full", str(error))
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                writer.commit()
            say("ack", state)
            if rng.random() < 0.3:
                writer.compact()


def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that gets too large is an error, not the end
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                write(**json.loads(line))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(child, 0)
        say("end", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
