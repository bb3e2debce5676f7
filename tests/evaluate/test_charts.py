"""Plots are well-formed, say what they show, and put their marks where the numbers say."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from rag.evaluate.charts import Bar, Line, Point, gains, number, ranks, scatter, signed, stacked, ticks
from rag.evaluate.markup import Markup

SVG = "{http://www.w3.org/2000/svg}"


def read(plot: Markup) -> etree._Element:
    """The plot as a tree; what follows it (a legend) is left off."""
    svg = plot[: plot.index("</svg>") + len("</svg>")]
    return etree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode())


def rects(tree: etree._Element) -> list[tuple[float, float, float, float]]:
    return [tuple(float(mark.get(key)) for key in ("x", "y", "width", "height")) for mark in tree.iter(f"{SVG}rect")]


def titles(tree: etree._Element) -> list[str]:
    return [mark.text for mark in tree.iter(f"{SVG}title")][1:]  # the first is the plot's own


PLOTS = [
    scatter([Point(name="a<b", x=3.0, y=0.4, low=0.3, high=0.5)], title="t", x="ms", y="nDCG"),
    stacked([Bar(name="a<b", parts=(("x", 1.0), ("y", 3.0)))], title="t", unit="ms"),
    stacked([Bar(name="idle", parts=(("x", 0.0),))], title="t", unit="ms"),
    gains([("why <b>?", 0.5), ("how?", -0.25), ("who?", 0.0)], title="t", y="difference"),
    gains([("who?", 0.0)], title="t", y="difference"),
    ranks(["a", "b"], [Line(name="x<y", mark="[1]", ranks=(1, None), strong=True)], title="t"),
    ranks(["a"], [Line(name="x", mark="", ranks=(400,), strong=False)], title="t"),
]


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_is_well_formed_and_named_for_who_cannot_see_it(plot: Markup) -> None:
    tree = read(plot)
    assert tree.get("role") == "img"
    ids = {mark.get("id") for mark in tree if mark.get("id")}
    assert set(tree.get("aria-labelledby").split()) == ids
    assert tree.find(f"{SVG}desc").text
    assert not re.search(r"nan|inf", re.sub(r"<(title|desc|text).*?</\1>", "", plot))


def test_a_gain_is_a_bar_over_the_line_and_a_loss_one_of_its_size_under_it() -> None:
    tree = read(gains([("lost", -0.5), ("won", 1.0), ("same", 0.0)], title="t", y="y"))
    (_, up_y, _, up_height), (_, down_y, _, down_height) = rects(tree)
    assert titles(tree) == ["won: +1.000", "lost: \N{MINUS SIGN}0.500"]
    assert up_height == pytest.approx(2 * down_height, abs=0.02)
    assert up_y + up_height == pytest.approx(down_y, abs=0.02)  # both stand on the line of no difference
    texts = [mark.text for mark in tree.iter(f"{SVG}text")]
    assert {"1 better", "1 equal", "1 worse"} <= set(texts)


def test_a_difference_of_rounding_is_none() -> None:
    tree = read(gains([("a", 0.1 + 0.2 - 0.3), ("b", 0.3 - 0.1 - 0.2)], title="t", y="y"))
    assert rects(tree) == []
    assert "2 equal" in [mark.text for mark in tree.iter(f"{SVG}text")]


def test_the_parts_of_a_bar_follow_each_other_in_proportion_and_each_series_has_its_colour() -> None:
    plot = stacked(
        [Bar(name="a", parts=(("x", 1.0), ("y", 3.0))), Bar(name="b", parts=(("y", 2.0),))], title="t", unit="ms"
    )
    tree = read(plot)
    first, second, other = rects(tree)
    assert second[2] == pytest.approx(3 * first[2], abs=0.05)
    assert first[0] + first[2] == pytest.approx(second[0], abs=0.02)
    assert other[2] == pytest.approx(2 * first[2], abs=0.05)
    colours = [mark.get("class").split()[0] for mark in tree.iter(f"{SVG}rect")]
    assert colours == ["f0", "f1", "f1"]
    assert titles(tree)[1] == "a, y: 3 ms (75%)"
    assert re.findall(r"</span>(\w)</li>", plot) == ["x", "y"]


def test_latencies_far_apart_go_on_a_logarithmic_axis() -> None:
    points = [Point(name=str(x), x=x, y=0.5) for x in (1.0, 10.0, 100.0)]
    at = [float(mark.get("cx")) for mark in read(scatter(points, title="t", x="ms", y="y")).iter(f"{SVG}circle")]
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.02)


def test_names_of_points_in_one_place_do_not_cover_each_other() -> None:
    points = [Point(name=f"pipeline {at}", x=10.0, y=0.5) for at in range(3)]
    tree = read(scatter(points, title="t", x="ms", y="y"))
    labels = [mark for mark in tree.iter(f"{SVG}text") if mark.get("class") == "label"]
    assert len({(mark.get("x"), mark.get("y")) for mark in labels}) == 3


def test_a_rank_too_deep_to_show_and_a_missing_one_have_rows_of_their_own() -> None:
    lines = [
        Line(name="a", mark="[1]", ranks=(1, 1), strong=True),
        Line(name="b", mark="", ranks=(57, None), strong=False),
    ]
    tree = read(ranks(["dense", "sparse"], lines, title="t", shown=3))
    ticks_shown = [mark.text for mark in tree.iter(f"{SVG}text") if mark.get("class") == "tick"]
    assert ticks_shown == ["1", "2", "3", "4+", "none"]
    heights = [float(mark.get("cy")) for mark in tree.iter(f"{SVG}circle")]
    assert sorted(heights)[2:] == heights[:2]  # the weak line is drawn first, and lies lower
    assert "b: dense 57, sparse not found" in titles(tree)


def test_ways_from_retrievers_side_by_side_lead_to_the_fused_column_and_not_to_each_other() -> None:
    lines = [
        Line(name="both", mark="[1]", ranks=(1, 2, 1, 1), strong=True),
        Line(name="one", mark="", ranks=(None, 1, 2, None), strong=False),
    ]
    tree = read(ranks(["dense", "sparse", "rrf", "evidence"], lines, title="t", parallel=2))
    one, both = tree.findall(f"{SVG}g")  # strong ones are drawn last, over the others
    starts = [[re.match(r"M([\d.]+)", path.get("d"))[1] for path in group.iter(f"{SVG}path")] for group in (both, one)]
    dense, sparse, fused = starts[0]
    assert float(dense) < float(sparse) < float(fused)
    assert starts[1] == [sparse, fused]
    assert len(list(one.iter(f"{SVG}circle"))) == 3  # not where it was not found, but where it dropped out


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.4712, "0.471"), (0.5, "0.5"), (3.14159, "3.14"), (12.34, "12.3"), (1204.4, "1,204")],
)
def test_numbers_have_about_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_difference_has_its_sign_unless_it_is_nothing() -> None:
    assert [signed(value) for value in (0.25, -0.25, 0.0, -0.0001)] == [
        "+0.250",
        "\N{MINUS SIGN}0.250",
        "0.000",
        "0.000",
    ]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_even_and_hold_the_range_between_them(low: float, width: float) -> None:
    found = ticks(low, low + width)
    slack = 1e-6 * max(1.0, abs(low), width)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
