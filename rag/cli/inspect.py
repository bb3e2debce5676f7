"""`rag inspect`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline
from rag.cli.terminal import plain

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.types import Chunk, Document


def inspect(
    document: Annotated[
        str | None, typer.Argument(help="A document's id, or the end of one. Without it, the documents are listed.")
    ] = None,
    source: IndexOfOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    text: Annotated[bool, typer.Option("--text", help="Print the parsed text instead of the chunks.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what the index holds: its documents, or one document's chunks with their offsets."""
    with open_pipeline(pipeline, set_, source) as opened:
        reader = opened.index.reader()
        if document is None:
            _list(reader, json=json)
            return
        found = reader.document(_resolve(reader, document))
        if text:
            typer.echo(plain(found.text) if sys.stdout.isatty() else found.text)
            return
        chunks = reader.chunks_of(found.id)
        if json:
            from rag.cli.render import to_json

            typer.echo(to_json(_record(found, chunks)))
        else:
            _show(found, chunks)


def _list(reader: Reader, *, json: bool) -> None:
    from rag.cli.render import count

    summaries = list(reader.documents())
    if json:
        from dataclasses import asdict

        from rag.cli.render import to_json

        typer.echo(to_json([asdict(summary) for summary in summaries]))
        return
    for summary in summaries:
        chunks = "chunk " if summary.chunks == 1 else "chunks"
        typer.echo(f"{summary.chunks:>6} {chunks} {summary.characters:>9} characters  {plain(summary.id)}")
    held = f"{count(len(summaries), 'document')}, {count(reader.size, 'chunk')}"
    typer.echo(f"{held}, generation {reader.generation}")


def _resolve(reader: Reader, name: str) -> str:
    """The one document id that is `name` or ends with it.

    Raises:
        UnknownNameError: none or several do.
    """
    from rag.errors import UnknownNameError
    from rag.registry import near

    ids = [summary.id for summary in reader.documents()]
    if name in ids:
        return name
    ending = [candidate for candidate in ids if candidate.endswith(name)]
    if len(ending) == 1:
        return ending[0]
    if ending:
        more = ", ..." if len(ending) > 5 else ""
        raise UnknownNameError(f"{name!r} is the end of {len(ending)} documents: {', '.join(ending[:5])}{more}")
    close = near(name, ids)
    raise UnknownNameError(f"no document {name!r} in the index" + (f"; did you mean {close!r}?" if close else ""))


def _show(document: Document, chunks: list[Chunk]) -> None:
    from rag.cli.render import count

    size = f"{count(len(document.text), 'character')}, {count(len(chunks), 'chunk')}"
    typer.echo(f"{document.id}  ({document.source})  {size}")
    for name, value in document.meta.items():
        typer.echo(plain(f"  {name}: {value}"))
    if document.access is not None:
        typer.echo(f"  access: {', '.join(document.access)}")
    for chunk in chunks:
        place = str(document.locate(chunk.span.start, chunk.span.end))
        typer.echo(f"\n[{chunk.span.start}, {chunk.span.end})  {place}  {chunk.id}")
        if chunk.context:
            typer.echo(plain(f"  context: {chunk.context}"))
        typer.echo(plain("\n".join(f"  | {line}" for line in chunk.text.splitlines())))


def _record(document: Document, chunks: list[Chunk]) -> dict[str, object]:
    from rag.cli.render import VERSION, location_record

    return {
        "version": VERSION,
        "id": document.id,
        "source": document.source,
        "characters": len(document.text),
        "content_hash": document.content_hash,
        "meta": dict(document.meta),
        "access": None if document.access is None else list(document.access),
        "chunks": [
            {
                "id": chunk.id,
                "start": chunk.span.start,
                "end": chunk.span.end,
                "location": location_record(document.locate(chunk.span.start, chunk.span.end)),
                "context": chunk.context,
                "meta": dict(chunk.meta),
                "text": chunk.text,
            }
            for chunk in chunks
        ],
    }
