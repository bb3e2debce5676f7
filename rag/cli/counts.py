"""`rag counts`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import JsonOption, PipelineOption, SetOption, SourceOption, open_pipeline

if TYPE_CHECKING:
    from rag.index.counts import Count


def counts(
    phrase: Annotated[str, typer.Argument(help="Words as they follow each other in a text.")],
    other: Annotated[str | None, typer.Argument(help="A second phrase; counts how often both stand together.")] = None,
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    window: Annotated[int, typer.Option("--window", min=1, help="Words within which both have to stand.")] = 1000,
    json: JsonOption = False,
) -> None:
    """Count phrases in the indexed documents, all of them, whoever may read them; needs `ingest.index.ngrams`."""
    from rag.cli import render
    from rag.cli.ask import prepare
    from rag.errors import ConfigError
    from rag.text.words import words

    for each in (phrase, other):
        if each is not None and not words(each):
            raise typer.BadParameter(f"there is no word in {each!r}")
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None)
        reader = opened.index.reader()
        ngrams = reader.ngrams
        if ngrams is None:
            raise ConfigError(
                "the pipeline counts no phrases",
                hint="set `ingest.index.ngrams: {}`, or --set 'ingest.index.ngrams={}'",
            )
        alone = {each: ngrams.count(each) for each in (phrase, other) if each is not None}
        near = None if other is None else ngrams.cooccur(phrase, other, window=window)
        documents = None if other is None else ngrams.documents_with(phrase, other)
        if json:
            record: dict[str, object] = {
                "version": render.VERSION,
                "generation": reader.generation,
                "words": ngrams.size,
                "counts": [{"phrase": each, **_record(count)} for each, count in alone.items()],
            }
            if near is not None and documents is not None:
                record["together"] = {"window": window, "pairs": _record(near), "documents": _record(documents)}
            typer.echo(render.to_json(record))
            return
        lines = [(count, each) for each, count in alone.items()]
        if near is not None and documents is not None:
            lines += [(near, f"together within {window} words"), (documents, "documents with both")]
        typer.echo("\n".join(f"{_shown(count):>12}  {what}" for count, what in lines))


def _record(count: Count) -> dict[str, object]:
    return {"count": count.value, "exact": count.exact}


def _shown(count: Count) -> str:
    return f"{count.value:,}" if count.exact else f"at least {count.value:,}"
