from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from rag.load.base import Source
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

Parse = Callable[[bytes, str], Document]


@pytest.fixture(scope="session")
def pool() -> Iterator[ParserPool]:
    with ParserPool(ParseSpec(workers=1, timeout_seconds=30)) as pool:
        yield pool


@pytest.fixture
def parse(pool: ParserPool) -> Parse:
    """Parse bytes under a file name, with the limits in force."""
    return lambda data, name: pool.parse(Source(id=name, uri=name, name=name, read=lambda: data))


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    return lambda name: (Path(__file__).parent / "samples" / name).read_bytes()


@pytest.fixture
def zipped() -> Callable[[Mapping[str, str]], bytes]:
    def make(members: Mapping[str, str]) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return target.getvalue()

    return make


@pytest.fixture
def pdf() -> Callable[..., bytes]:
    """Make a PDF of pages, each a list of (left, bottom, text) in 10 point Helvetica on 400 by 600 points."""
    return _pdf


def _pdf(pages: Sequence[Sequence[tuple[int, int, str]]], *, info: str = "", page: str = "") -> bytes:
    numbers = [4 + 2 * at for at in range(len(pages))]
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: f"<</Type/Pages/Count {len(pages)}/Kids[{' '.join(f'{n} 0 R' for n in numbers)}]>>".encode(),
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    for number, lines in zip(numbers, pages, strict=True):
        content = "".join(f"BT /F 10 Tf {x} {y} Td ({text}) Tj ET\n" for x, y, text in lines).encode()
        objects[number] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 600]/Contents {number + 1} 0 R"
            f"/Resources<</Font<</F 3 0 R>>>>{page}>>"
        ).encode()
        objects[number + 1] = f"<</Length {len(content)}>>stream\n".encode() + content + b"endstream"
    objects[len(objects) + 1] = f"<<{info}>>".encode()
    data, offsets = b"%PDF-1.7\n", []
    for number, body in objects.items():
        offsets.append(len(data))
        data += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R/Info {size - 1} 0 R>>\n"
    return data + trailer.encode() + f"startxref\n{len(data)}\n%%EOF".encode()
