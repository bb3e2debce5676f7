"""`rag counts`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.hints import options_given
from rag.cli.options import IndexOfOption, JsonOption, PipelineOption, SetOption, open_pipeline

if TYPE_CHECKING:
    from rag.errors import ConfigError
    from rag.index.counts import Count
    from rag.pipeline.pipeline import Pipeline


def counts(
    phrase: Annotated[str | None, typer.Argument(help="Words as they follow each other in a text.")] = None,
    other: Annotated[str | None, typer.Argument(help="A second phrase; counts how often both stand together.")] = None,
    source: IndexOfOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    window: Annotated[int, typer.Option("--window", min=1, help="Words within which both have to stand.")] = 1000,
    fit: Annotated[
        Path | None,
        typer.Option(
            "--fit",
            metavar="FILE",
            help="Instead: thresholds for the pipeline's trigger by popularity, from a JSONL file of questions with "
            "`question`, `relation`, and whether the answers `from_memory` and `with_retrieval` were right.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Instead: compare the checksums of the counts' files.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Count phrases in the indexed documents, all of them, whoever may read them; needs `ingest.index.ngrams`."""
    from rag.cli import render
    from rag.cli.ask import prepare
    from rag.text.words import words

    if sum((phrase is not None, fit is not None, verify)) != 1:
        raise typer.BadParameter("expected a phrase, or one of --fit and --verify")
    if fit is not None or verify:
        if json or other is not None:
            raise typer.BadParameter("--fit and --verify take no phrase and no --json")
        with open_pipeline(pipeline, set_, source) as opened:
            prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
            typer.echo(_thresholds(opened, fit) if fit is not None else _verified(opened))
        return
    assert phrase is not None  # one of the three is given
    for each in (phrase, other):
        if each is not None and not words(each):
            raise typer.BadParameter(f"there is no word in {each!r}")
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
        reader = opened.index.reader()
        ngrams = reader.ngrams
        if ngrams is None:
            raise _uncounted()
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


def _thresholds(pipeline: Pipeline, path: Path) -> str:
    """The fitted thresholds as options of the trigger, with what they are worth as a comment."""
    from rag.config.dump import to_yaml
    from rag.errors import ConfigError
    from rag.trigger.popularity import Popularity
    from rag.trigger.popularity_fit import fit_rows, read_rows

    rows = read_rows(path)
    dynamic = pipeline.stages.dynamic
    trigger = dynamic.trigger.run if dynamic is not None else None
    if not isinstance(trigger, Popularity):
        raise ConfigError(
            "ask.dynamic.trigger: expected `popularity` or `subject-relation`, whose thresholds are to be fitted",
            hint="set ask.dynamic.trigger to {use: popularity, below: 1}, ask.generate.without_evidence to answer",
        )

    def popularity(question: str) -> float | None:
        rarest = trigger.rarest(question)
        return None if rarest is None else rarest[1]

    fitted = fit_rows(rows, popularity)
    relations = {name: each.threshold for name, each in fitted.thresholds.items() if name}
    found = to_yaml({"below": fitted.thresholds[""].threshold, "relations": {**relations}}).rstrip()
    shares = f"{fitted.right:.3f}; never retrieving {fitted.never:.3f}, always {fitted.always:.3f}"
    left_out = f", {fitted.nameless} name nothing and were left out" if fitted.nameless else ""
    return f"# right on {fitted.tested} questions held out: {shares}{left_out}\n{found}"


def _verified(pipeline: Pipeline) -> str:
    """What was compared; damaged files are made anew from the stored texts."""
    from rag.index.ngrams.stored import damaged_counts

    if pipeline.spec.ingest.index.ngrams is None:
        raise _uncounted()
    files, damaged = damaged_counts(pipeline.index.path)
    for file in damaged:
        file.remove()
    _ = pipeline.index.reader().ngrams  # made anew where they are behind
    said = f"{len(damaged)} damaged and made anew" if damaged else "none damaged"
    return f"{files} files compared with their checksums, {said}"


def _uncounted() -> ConfigError:
    from rag.errors import ConfigError

    return ConfigError(
        "the pipeline counts no phrases",
        hint="set `ingest.index.ngrams: {}`, or --set 'ingest.index.ngrams={}'",
    )


def _record(count: Count) -> dict[str, object]:
    return {"count": count.value, "exact": count.exact}


def _shown(count: Count) -> str:
    return f"{count.value:,}" if count.exact else f"at least {count.value:,}"
