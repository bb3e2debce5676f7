"""The page of an explanation: what decided, the way of each passage, what each stage changed, what it cost."""

from __future__ import annotations

from collections.abc import Iterator

from rag.evaluate import charts
from rag.evaluate.explanation import Explanation, LeftOut, Passage
from rag.evaluate.findings import changes, numbered
from rag.evaluate.markup import Markup, element, joined
from rag.evaluate.page import Cell, Head, page, prose, quoted, row, table
from rag.evaluate.report_page import write_report
from rag.types import Usage

__all__ = ["explanation_page", "write_report"]

NOT_FOUND = "\N{EN DASH}"


def explanation_page(found: Explanation) -> str:
    """One self-contained file of HTML; every text of the question and of documents escaped."""
    note = "Times are of one run of the whole pipeline, the models loaded before. A rank is a chunk's place from 1."
    return page(f"Why: {found.question}", *_body(found), note=note)


def _body(found: Explanation) -> Iterator[Markup]:
    yield element("h1", quoted(found.question))
    others = [query for query in found.queries if query != found.question]
    if others:
        yield element("p", "Also searched: ", *_commas(others), class_="soft")
    if found.folder:
        yield element("p", "Sources in ", quoted(found.folder), class_="soft")
    yield element("ul", *(element("li", prose(sentence)) for sentence in found.summary))
    if found.answer is not None:
        yield element("h2", "The answer")
        yield element("blockquote", quoted(found.answer))
    if found.passages:
        yield element("h2", "The way of the evidence")
        yield _ranks(found)
        yield element("h2", "What it says")
        yield _texts(found)
    if found.left_out:
        yield element("h2", "Without each stage")
        for left in found.left_out:
            yield from _left_out(found, left)
    yield element("h2", "What it cost")
    yield from _cost(found)


def _commas(texts: list[str]) -> list[Markup]:
    return [joined(", " if at else "", quoted(text)) for at, text in enumerate(texts)]


# ---- ranks


def _ranks(found: Explanation) -> Markup:
    lines = [
        charts.Line(
            name=passage.label,
            mark=numbered(passage.numbers),
            ranks=passage.ranks,
            strong=passage.number is not None,
        )
        for passage in found.passages
    ]
    heads = [Head(name="passage", numeric=False), *(Head(name=name) for name in found.columns)]
    rows = [
        row(
            heads,
            [_where(passage), *(_rank(rank) for rank in passage.ranks)],
            kind="" if passage.numbers else "off",
        )
        for passage in found.passages
    ]
    retrievers = sum(step.stage == "retrieve" for step in found.steps)
    title = "The rank of each passage at each stage"
    plot = charts.ranks(found.columns, lines, title=title, parallel=retrievers)
    caption = "Faint, dashed: not evidence, but would be without some stage. Point at a line to see whose it is."
    return joined(
        element("figure", plot, element("figcaption", caption)),
        table(heads, rows, caption="Rank at each stage; the last column is the number in the evidence."),
    )


def _where(passage: Passage) -> Markup:
    return joined(f"{numbered(passage.numbers)} ", quoted(passage.label))


def _rank(rank: int | None) -> Cell:
    return Cell(shown=NOT_FOUND if rank is None else str(rank), value=rank)


def _texts(found: Explanation) -> Markup:
    return joined(
        *(
            element(
                "details",
                element("summary", _where(passage)),
                *(element("blockquote", quoted(text)) for text in passage.texts),
                open="" if passage.number == 1 else None,
            )
            for passage in found.passages
        )
    )


# ---- stages left out


def _left_out(found: Explanation, left: LeftOut) -> Iterator[Markup]:
    name = element("code", left.name)
    instead = [": ", element("code", left.instead), " in its place"] if left.instead else []
    yield element("h3", name, *instead)
    yield element("p", prose(left.finding))
    if left.answer is not None and left.answer != found.answer:
        yield element("p", "The answer would be:")
        yield element("blockquote", quoted(left.answer))
    brought, pushed_out, moved = changes(found, left)
    if not (brought or pushed_out or moved):
        return
    heads = [Head(name="passage", numeric=False), *(Head(name=name) for name in found.columns)]
    rows = [
        row(heads, [_where(passage), *map(_change, left.ranks[passage.chunk_id], passage.ranks)])
        for passage in (*brought, *pushed_out, *moved)
    ]
    caption = f"Rank without {left.name}, and with it where that differs."
    yield element("details", element("summary", "Ranks without it and with it"), table(heads, rows, caption=caption))


def _change(without: int | None, with_it: int | None) -> Cell:
    before, after = (NOT_FOUND if rank is None else str(rank) for rank in (without, with_it))
    return Cell(shown=after if before == after else f"{before} \N{RIGHTWARDS ARROW} {after}", value=with_it)


# ---- cost


def _cost(found: Explanation) -> Iterator[Markup]:
    parts = tuple((step.name, step.seconds * 1000) for step in found.steps)
    bar = charts.Bar(name="this question", parts=parts)
    yield element("figure", charts.stacked([bar], title="Milliseconds of each stage", unit="ms"))
    asked = found.usage.requests > 0
    heads = [Head(name="stage", numeric=False), Head(name="component", numeric=False)]
    heads += [Head(name=name) for name in ("in", "out", "ms", "share")]
    heads += [Head(name=name) for name in ("prompt tokens", "reply tokens", "requests")] if asked else []
    rows = [
        row(
            heads,
            [
                step.stage,
                element("code", step.name),
                Cell(shown=f"{step.taken:,}", value=step.taken),
                Cell(shown=f"{step.given:,}", value=step.given),
                Cell(shown=f"{step.seconds * 1000:,.2f}", value=step.seconds),
                Cell(shown=f"{step.share:.0%}", value=step.share),
                *(_usage(step.usage) if asked else []),
            ],
        )
        for step in found.steps
    ]
    total: list[str | Cell] = [
        "total",
        "",
        "",
        "",
        f"{found.seconds * 1000:,.2f}",
        "",
        *(_usage(found.usage) if asked else []),
    ]
    yield table(heads, [*rows, row(heads, total, kind="total")])
    shared = [step for step in found.steps if step.usage.reuse]
    if shared:
        yield element("h3", "Keys and values of sources")
        yield element("ul", *(element("li", element("code", step.name), f": {step.usage.reuse}") for step in shared))


def _usage(usage: Usage) -> list[Cell]:
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.requests)
    return [Cell(shown=f"{count:,}", value=count) for count in counts]
