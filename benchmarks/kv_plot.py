"""The plot of `kv.py quality`: accuracy won back against the share of the chunks' tokens computed again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 120
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart."""
Point = tuple[str, float, float]
"""A label, the share computed, the share won back."""


def write_plot(path: Path, families: Mapping[str, Sequence[Point]], *, title: str, above: Collection[str] = ()) -> None:
    """One line a family of policies, its points in the order given, each labelled with its option's value.

    Args:
        above: families whose labels stand above their points, so that they do not meet others'.
    """
    lowest = min(0.0, *(won for points in families.values() for _, _, won in points))
    floor = lowest - 0.08

    def at(share: float, won: float) -> tuple[float, float]:
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        y = TOP + (1.08 - won) / (1.08 - floor) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    parts = [_text(WIDTH / 2, 22, title, anchor="middle", size=14)]
    low, high = int(floor * 4) / 4, 1.0
    ticks = [low + step / 4 for step in range(round((high - low) * 4) + 1)]
    for won in ticks:
        (x0, y), (x1, _) = at(0, won), at(1, won)
        parts += [_line(x0, y, x1, y, "#dddddd"), _text(x0 - 8, y + 4, f"{won:.0%}", anchor="end")]
    for tenth in range(0, 11, 2):
        x, _ = at(tenth / 10, 0)
        parts += [_line(x, HEIGHT - BOTTOM, x, TOP, "#eeeeee")]
        parts += [_text(x, HEIGHT - BOTTOM + 16, f"{tenth / 10:.0%}", anchor="middle")]
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 34, "chunk tokens computed again", anchor="middle")
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turn = f' transform="rotate(-90 16 {middle})"'
    parts.append(_text(16, middle, "won back of what `none` loses", anchor="middle", more=turn))
    for number, (family, points) in enumerate(families.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(share, won) for _, share, won in points]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for (label, _, _), (x, y) in zip(points, places, strict=True):
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
            parts.append(_text(x + 6, y + (-6 if family in above else 14), label, colour=colour, size=10))
        column, row = number % 3, number // 3
        x, y = LEFT + column * (WIDTH - LEFT - RIGHT) / 3, HEIGHT - BOTTOM + 60 + row * 20
        parts += [f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>', _text(x + 10, y, family)]
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    path.write_text(
        f'{head}\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n', encoding="utf-8"
    )


def _line(x0: float, y0: float, x1: float, y1: float, colour: str) -> str:
    return f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222222", more: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>'
        f"{escape(text)}</text>"
    )
