"""What chunkers and enrichers must do, as checks that can be run against any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.chunk.base import Chunker
from rag.enrich.base import BatchEnricher, Cut, Enricher
from rag.enrich.tally import EnrichmentTally
from rag.testing.expect import expect
from rag.testing.sample import TEXTS, paragraphs
from rag.types import Document, Layout, Part

TEXTS_TO_CUT: Sequence[str] = (
    "",
    " \n\t\n ",
    "One line.",
    "# Title\r\n\r\nWindows lines.\r\n\r\nA second paragraph, ending without a line.",
    "e\u0301a\u0308 combining marks, 👩‍👩‍👧‍👦 a family, 🇩🇪 a flag. " * 40,
    "没有空格的文字也要切开。每句话都有句号！真的吗？" * 60,
    "هذا نص من اليمين إلى اليسار. " * 60,
    "word " * 2000,
    "x" * 5000,
    "| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 300,
)
ANIMALS = Document(id="animals.md", text=TEXTS["animals.md"], meta={"title": "Animals"})


def check_chunker(chunker: Chunker, *, texts: Sequence[str] = TEXTS_TO_CUT) -> None:
    """Chunks are the document's text at their spans, none empty, in order; every visible character is in one."""
    for text in texts:
        heading = (Part("heading", 0, text.find("\n"), "Title", 1),) if text.startswith("# ") and "\n" in text else ()
        document = Document(id="made-up", text=text, layout=Layout(parts=heading))
        chunks = chunker.chunk(document)
        covered = bytearray(len(text))
        for chunk in chunks:
            span = chunk.span
            expect(span.document_id == document.id, f"a chunk of another document: {span}")
            expect(text[span.start : span.end] == chunk.text, f"not the document's text at {span}")
            expect(bool(chunk.text.strip()), f"a chunk without text at {span}")
            covered[span.start : span.end] = b"\1" * len(span)
        starts = [chunk.span.start for chunk in chunks]
        expect(starts == sorted(starts), "chunks are not in the order of their starts")
        lost = [at for at, character in enumerate(text) if not covered[at] and not character.isspace()]
        expect(not lost, f"character {lost[:1]} of {text[:40]!r}... is in no chunk")
        expect(list(chunker.chunk(document)) == list(chunks), "cuts the same document in two ways")


def check_enricher(enricher: Enricher, *, document: Document = ANIMALS) -> None:
    """Same chunks in the same order with the same spans, texts and ids; what they had stays; scalars only; same again.

    Where the enricher takes batches, one document alone gives what it gives in a batch.
    """
    chunks = [replace(chunk, context="given", meta={"page": at}) for at, chunk in enumerate(paragraphs(document), 1)]
    enriched = list(enricher.enrich(chunks, document))
    expect(len(enriched) == len(chunks), f"{len(enriched)} chunks of {len(chunks)}")
    for before, after in zip(chunks, enriched, strict=True):
        expect((before.span, before.text, before.id) == (after.span, after.text, after.id), "another span, text or id")
        expect(after.context.endswith("given"), f"the context it had is lost: {after.context!r}")
        expect(after.meta.get("page") == before.meta["page"], f"the metadata it had is lost: {dict(after.meta)}")
        scalars = all(isinstance(value, str | int | float | bool | None) for value in after.meta.values())
        expect(scalars, f"metadata that is no scalar: {dict(after.meta)}")
    expect(list(enricher.enrich([], document)) == [], "no chunks must give none")
    expect(list(enricher.enrich(chunks, document)) == enriched, "enriches the same chunks in two ways")
    if isinstance(enricher, BatchEnricher):
        twice = enricher.enrich_batch([Cut(document, chunks), Cut(document, [])], EnrichmentTally())
        expect([list(each) for each in twice] == [enriched, []], "differs alone and in a batch")
