"""Plots as inline SVG: no script, no fonts to load, colours from the page's style sheet (`rag.evaluate.html`).

Every plot has a title and a description for who cannot see it, and every mark says on hover what it stands for. What a
plot shows also stands in a table of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from rag.evaluate.markup import Markup, element, joined

WIDTH = 760.0
COLOURS = 8
"""How many colours the style sheet has; a ninth series gets the first again."""

SAME = 1e-12
"""A difference up to this is none: sums of floats in another order."""

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A mark of `scatter`; `low` and `high` are the ends of its interval, if it has one."""

    name: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row of `stacked`: (series, value) from left to right."""

    name: str
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of `ranks`: its rank at each column, ``None`` where it has none; `strong` ones stand out.

    `mark` is what stands at its end.
    """

    name: str
    mark: str
    ranks: tuple[int | None, ...]
    strong: bool


# ---- plots


def scatter(points: Sequence[Point], *, title: str, x: str, y: str) -> Markup:
    """Points with their names and intervals; `x` on a logarithmic axis where the greatest is over 8 times the least."""
    height, left, right, top, bottom = 340.0, 62.0, 20.0, 16.0, 46.0
    xs = [point.x for point in points]
    ys = [value for point in points for value in (point.low, point.y, point.high) if value is not None]
    logarithmic = min(xs) > 0 and max(xs) > 8 * min(xs)
    across = _decades(min(xs), max(xs)) if logarithmic else ticks(0.0, max(xs) * 1.08)
    up = ticks(*_padded(min(ys), max(ys)))
    at_x = _scale(across[0], across[-1], left, WIDTH - right, logarithmic=logarithmic)
    at_y = _scale(up[0], up[-1], height - bottom, top)
    drawn = [*_grid_y(up, at_y, left, WIDTH - right), *_axis_x(across, at_x, height - bottom)]
    drawn.append(_text(x, (left + WIDTH - right) / 2, height - 8, "middle", "axis"))
    drawn.append(_text(y, 14, (top + height - bottom) / 2, "middle", "axis", turned=True))
    taken = [(at_x(point.x) - 6, at_y(point.y) - 6, 12.0, 12.0) for point in points]
    for at, point in enumerate(points):
        cx, cy = at_x(point.x), at_y(point.y)
        marks = [element("title", f"{point.name}: {number(point.y)} {y}, {number(point.x)} {x}")]
        if point.low is not None and point.high is not None:
            marks.append(_line(cx, at_y(point.low), cx, at_y(point.high), f"s{at % COLOURS} whisker"))
        marks.append(element("circle", cx=cx, cy=cy, r=5, class_=f"f{at % COLOURS}"))
        label, box = _placed(point.name, cx, cy, taken, width=WIDTH - right, height=height - bottom)
        taken.append(box)
        drawn += [element("g", *marks), label]
    described = "; ".join(f"{point.name}: {number(point.y)} at {number(point.x)}" for point in points)
    return _svg(height, title, f"{y} against {x}. {described}.", drawn)


def stacked(bars: Sequence[Bar], *, title: str, unit: str) -> Markup:
    """One horizontal bar a row, its parts in the colour of their series, then its sum; the legend goes under it."""
    row, left, right, top, bottom = 34.0, 150.0, 76.0, 6.0, 30.0
    height = top + row * len(bars) + bottom
    across = ticks(0.0, max((_sum(bar) for bar in bars), default=0.0) or 1.0)
    at_x = _scale(across[0], across[-1], left, WIDTH - right)
    series = list(dict.fromkeys(name for bar in bars for name, _ in bar.parts))
    drawn = [_line(at_x(tick), top, at_x(tick), height - bottom, "grid") for tick in across]
    drawn += [_text(number(tick), at_x(tick), height - bottom + 17, "middle", "tick") for tick in across]
    for at, bar in enumerate(bars):
        y, total, done = top + row * at + 6, _sum(bar), 0.0
        drawn.append(_text(shortened(bar.name, 22), left - 10, y + 15, "end", "label"))
        for name, value in bar.parts:
            share = f" ({value / total:.0%})" if total else ""
            hover = element("title", f"{bar.name}, {name}: {number(value)} {unit}{share}")
            width = at_x(done + value) - at_x(done)
            colour = f"f{series.index(name) % COLOURS} part"
            drawn.append(element("rect", hover, x=at_x(done), y=y, width=width, height=row - 12, class_=colour))
            done += value
        drawn.append(_text(f"{number(total)} {unit}", at_x(total) + 8, y + 15, "start", "value"))
    described = "; ".join(
        f"{bar.name}: {', '.join(f'{name} {number(value)}' for name, value in bar.parts)}" for bar in bars
    )
    return joined(_svg(height, title, f"In {unit}. {described}.", drawn), legend(series))


def legend(names: Sequence[str]) -> Markup:
    """What the colours stand for, in the order they were given out."""
    items = [
        element("li", element("span", class_=f"swatch b{at % COLOURS}", aria_hidden="true"), name)
        for at, name in enumerate(names)
    ]
    return element("ul", *items, class_="legend")


def gains(differences: Sequence[tuple[str, float]], *, title: str, y: str) -> Markup:
    """A bar for each question that gained or lost, the greatest gain first; those that did not change leave a gap."""
    height, left, right, top, bottom = 240.0, 62.0, 12.0, 12.0, 28.0
    ordered = sorted(differences, key=lambda pair: -pair[1])
    up = [pair for pair in ordered if pair[1] > SAME]
    down = [pair for pair in ordered if pair[1] < -SAME]
    equal = len(ordered) - len(up) - len(down)
    gap = 56.0 if equal else 0.0
    reach = max((abs(value) for _, value in ordered), default=0.0) or 1.0
    steps = ticks(0.0, reach, most=3)
    at_y = _scale(-steps[-1], steps[-1], height - bottom, top)
    slot = (WIDTH - left - right - gap) / max(1, len(up) + len(down))
    wide = min(slot * 0.82, 28.0) if slot > 3 else slot  # no gaps between bars too thin to have any
    both = [*(-step for step in reversed(steps[1:])), *steps]
    drawn = [
        mark
        for step in both
        for mark in (
            _line(left, at_y(step), WIDTH - right, at_y(step), "zero" if step == 0 else "grid"),
            _text(signed(step, number(abs(step))), left - 8, at_y(step) + 4, "end", "tick"),
        )
    ]
    for at, (text, value) in enumerate([*up, *down]):
        x = left + slot * at + (gap if at >= len(up) else 0.0)
        hover = element("title", f"{text}: {signed(value)}")
        y1, y2 = sorted((at_y(0.0), at_y(value)))
        drawn.append(
            element("rect", hover, x=x, y=y1, width=wide, height=y2 - y1, class_="gain" if value > 0 else "loss")
        )
    if up:
        drawn.append(_text(f"{len(up):,} better", left, height - 8, "start", "tick"))
    if equal:
        drawn.append(_text(f"{equal:,} equal", left + slot * len(up) + gap / 2, height - 8, "middle", "tick"))
    if down:
        drawn.append(_text(f"{len(down):,} worse", WIDTH - right, height - 8, "end", "tick"))
    drawn.append(_text(y, 14, (top + height - bottom) / 2, "middle", "axis", turned=True))
    return _svg(height, title, f"{y}: {len(up)} questions better, {equal} equal, {len(down)} worse.", drawn)


def ranks(columns: Sequence[str], lines: Sequence[Line], *, title: str, parallel: int = 1, shown: int = 12) -> Markup:
    """The way of each passage through the stages that rank; ranks over `shown`, and none, have a row of their own.

    The first `parallel` columns stand side by side: the ways from each lead to the column after them.
    """
    step, left, right, top = 24.0, 62.0, 30.0, 30.0
    deepest = max((rank for line in lines for rank in line.ranks if rank), default=1)
    rows = [str(rank) for rank in range(1, min(deepest, shown) + 1)]
    rows += [f"{shown + 1}+"] if deepest > shown else []
    rows += ["none"] if any(rank is None for line in lines for rank in line.ranks) else []
    height = top + step * len(rows) + 4
    at_x = _scale(0, max(1, len(columns) - 1), left + 40, WIDTH - right - 40)

    def at_y(rank: int | None) -> float:
        row = len(rows) if rank is None else min(rank, shown + 1)
        return top + step * (row - 0.5)

    drawn = [_text(name, left - 14, top + step * (at + 0.5) + 4, "end", "tick") for at, name in enumerate(rows)]
    for at, name in enumerate(columns):
        drawn.append(_text(shortened(name, 16), at_x(at), 16, "middle", "label"))
        drawn.append(_line(at_x(at), top, at_x(at), height - 4, "grid"))
    for at, line in sorted(enumerate(lines), key=lambda pair: pair[1].strong):
        colour = at % COLOURS
        route = ", ".join(f"{name} {rank or 'not found'}" for name, rank in zip(columns, line.ranks, strict=True))
        marks = [element("title", f"{line.name}: {route}")]
        shown_at = set()
        for start, end in _ways(line.ranks, parallel):
            shown_at |= {start, end}
            x1, y1, x2, y2 = at_x(start), at_y(line.ranks[start]), at_x(end), at_y(line.ranks[end])
            bend = (x2 - x1) / 2
            curve = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
            marks.append(element("path", d=curve, class_=f"s{colour} way"))
        shown_at |= {column for column, rank in enumerate(line.ranks) if rank}
        marks += [
            element("circle", cx=at_x(column), cy=at_y(line.ranks[column]), r=4, class_=f"f{colour}")
            for column in sorted(shown_at)
        ]
        marks.append(_text(line.mark, at_x(len(columns) - 1) + 12, at_y(line.ranks[-1]) + 4, "start", "label"))
        drawn.append(element("g", *marks, class_="strong" if line.strong else "weak"))
    described = "; ".join(f"{line.name}: {', '.join(str(rank or 'none') for rank in line.ranks)}" for line in lines)
    return _svg(height, title, f"Ranks at {', '.join(columns)}. {described}.", drawn)


def _ways(found: Sequence[int | None], parallel: int) -> list[tuple[int, int]]:
    """Pairs of columns to draw a line between: from where a passage has a rank, and to where it gets one."""
    side_by_side = [(column, parallel) for column in range(parallel) if parallel < len(found) and found[column]]
    return side_by_side + [pair for pair in pairwise(range(parallel, len(found))) if found[pair[0]] or found[pair[1]]]


# ---- numbers


def number(value: float) -> str:
    """About three significant digits, without zeros that say nothing: ``0.471``, ``12.3``, ``1,204``."""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: float, digits: str | None = None) -> str:
    """With its sign, a real minus: ``+0.031``, ``−0.400``; `digits` are those to show, three decimals if ``None``."""
    shown = f"{abs(value):.3f}" if digits is None else digits
    if not any(digit in shown for digit in "123456789"):
        return shown
    return f"+{shown}" if value > 0 else f"\N{MINUS SIGN}{shown}"


def shortened(text: str, most: int) -> str:
    """The first `most` characters, an ellipsis for the rest."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at most `low` to at least `high`; `most` or one more.

    >>> ticks(0.0, 0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * times for times in (1, 2, 5, 10) if span / (power * times) <= most - 1 or times == 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(at * step, digits) for at in range(first, max(last, first + 1) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from at most `low` to at least `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [round(times * 10.0**power, 12) for power in range(first, last + 1) for times in (1, 2, 5)]
    return [
        *[step for step in steps if step <= low][-1:],
        *[step for step in steps if low < step < high],
        *[step for step in steps if step >= high and step > low][:1],
    ]


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low or abs(high) or 1.0) * 0.08
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def _scale(low: float, high: float, start: float, end: float, *, logarithmic: bool = False) -> Scale:
    def plain(value: float) -> float:
        return start + (value - low) / (high - low) * (end - start)

    def log(value: float) -> float:
        return start + math.log(value / low) / math.log(high / low) * (end - start)

    return log if logarithmic else plain


def _sum(bar: Bar) -> float:
    return math.fsum(value for _, value in bar.parts)


# ---- marks


def _svg(height: float, title: str, description: str, drawn: Sequence[Markup]) -> Markup:
    key = blake2b(f"{title}\n{description}".encode("utf-8", "replace"), digest_size=5).hexdigest()
    return element(
        "svg",
        element("title", title, id=f"t{key}"),
        element("desc", description, id=f"d{key}"),
        *drawn,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=f"t{key} d{key}",
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def _text(words: str, x: float, y: float, anchor: str, kind: str, *, turned: bool = False) -> Markup:
    turn = f"rotate(-90 {x:g} {y:g})" if turned else None
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=kind, transform=turn)


def _grid_y(steps: Sequence[float], at_y: Scale, left: float, right: float) -> list[Markup]:
    lines = [_line(left, at_y(step), right, at_y(step), "grid") for step in steps]
    return [*lines, *(_text(number(step), left - 8, at_y(step) + 4, "end", "tick") for step in steps)]


def _axis_x(steps: Sequence[float], at_x: Scale, y: float) -> list[Markup]:
    marks = [_line(at_x(step), y, at_x(step), y + 4, "zero") for step in steps]
    return [*marks, *(_text(number(step), at_x(step), y + 18, "middle", "tick") for step in steps)]


_Box = tuple[float, float, float, float]


def _placed(
    name: str, x: float, y: float, taken: Sequence[_Box], *, width: float, height: float
) -> tuple[Markup, _Box]:
    """The name beside its point where nothing else stands, tried right, left, above and below; else to the right."""
    words = shortened(name, 30)
    size = 6.8 * len(words)
    tried = [(x + 10, y + 4, "start"), (x - 10, y + 4, "end"), (x, y - 12, "middle"), (x, y + 20, "middle")]
    boxes = []
    for at_x, at_y, anchor in tried:
        start = at_x - {"start": 0.0, "end": size, "middle": size / 2}[anchor]
        box = (start, at_y - 12, size, 15.0)
        boxes.append((box, at_x, at_y, anchor))
        inside = start > 40 and start + size < width and 0 < at_y < height
        if inside and not any(_meet(box, other) for other in taken):
            return _text(words, at_x, at_y, anchor, "label"), box
    box, at_x, at_y, anchor = boxes[0] if boxes[0][0][0] + size < width else boxes[1]
    return _text(words, at_x, at_y, anchor, "label"), box


def _meet(one: _Box, other: _Box) -> bool:
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one, other
    return x1 < x2 + w2 and x2 < x1 + w1 and y1 < y2 + h2 and y2 < y1 + h1
