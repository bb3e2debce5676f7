from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.index.filters import format_filter, parse_filter
from rag.types import Condition, Scalar


def eq(field: str, value: Scalar) -> Condition:
    return Condition(op="eq", field=field, values=(value,))


def test_the_example_of_the_manual_reads_as_it_looks() -> None:
    assert parse_filter('year >= 2020 and (lang = "en" or not draft = true) and exists(author)') == Condition(
        op="and",
        parts=(
            Condition(op="range", field="year", values=(2020, None)),
            Condition(op="or", parts=(eq("lang", "en"), Condition(op="not", parts=(eq("draft", True),)))),
            Condition(op="exists", field="author"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('tags contains "a b"', Condition(op="contains", field="tags", values=("a b",))),
        ('contains contains "x"', Condition(op="contains", field="contains", values=("x",))),
        ('tag in ("a","b", 3)', Condition(op="in", field="tag", values=("a", "b", 3))),
        (
            "a = 1 or b = 2 and c = 3",
            Condition(op="or", parts=(eq("a", 1), Condition(op="and", parts=(eq("b", 2), eq("c", 3))))),
        ),
        ("NOT NOT a = null", Condition(op="not", parts=(Condition(op="not", parts=(eq("a", None),)),))),
        ("x<=-1.5e3", Condition(op="range", field="x", values=(None, -1500.0))),
        ("x == +3", eq("x", 3)),
        ("x != 'it\\'s'", Condition(op="not", parts=(eq("x", "it's"),))),
        ('`odd field` = "\\"\\\\"', eq("odd field", '"\\')),
        ("`and` = FALSE", eq("and", False)),
        ("page.title-de = .5", eq("page.title-de", 0.5)),
        ('jahr_ü = "日本"', eq("jahr_ü", "日本")),
    ],
)
def test_every_form_is_read(text: str, expected: Condition) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a field, found the end"),
        ("year", 5, "expected `=`, `!=`, `<=`, `>=`, `in` or `contains`, found the end"),
        ("year > 2020", 6, "expected a field, a value or a sign"),
        ("year >= null", 9, "expected a value to compare with, found 'null'"),
        ("lang = en", 8, "expected a value"),
        ("tags contains 3", 15, 'expected a "text" in quotes, found'),
        ('lang = "en', 8, "expected a field, a value or a sign"),
        ("a = 1 b = 2", 7, "expected `and`, `or` or the end, found 'b'"),
        ("(a = 1", 7, "expected `)`, found the end"),
        ("a in ()", 7, "expected a value"),
        ("exists author", 8, "expected `(`, found 'author'"),
        ("a = 2020-01-01", 5, "expected a field, a value or a sign"),
        ("and = 1", 1, "expected a field, found 'and'"),
        ("not " * 101 + "a = 1", 401, "nested more than 100 deep"),
        ("(" * 5000, 101, "nested more than 100 deep"),
    ],
)
def test_a_mistake_is_shown_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"column {column}: ") as caught:
        parse_filter(text)
    assert message in caught.value.message
    assert caught.value.message.endswith(" " * (column - 1) + "^")


FIELDS = st.text(min_size=1)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
BOUNDS = VALUES.filter(lambda value: value is not None)
LEAVES = st.one_of(
    st.builds(lambda f, v: Condition(op="eq", field=f, values=(v,)), FIELDS, VALUES),
    st.builds(
        lambda f, v: Condition(op="in", field=f, values=tuple(v)), FIELDS, st.lists(VALUES, min_size=1, max_size=3)
    ),
    st.builds(lambda f, v: Condition(op="range", field=f, values=(v, None)), FIELDS, BOUNDS),
    st.builds(lambda f, v: Condition(op="range", field=f, values=(None, v)), FIELDS, BOUNDS),
    st.builds(lambda f: Condition(op="exists", field=f), FIELDS),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda p: Condition(op="not", parts=(p,)), inner),
        st.builds(
            lambda o, p: Condition(op=o, parts=tuple(p)),
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=8,
)


def typed(condition: Condition) -> object:
    """The condition with the types of its values: 1, 1.0 and True are equal in Python."""
    return condition, [type(value) for value in condition.values], [typed(part) for part in condition.parts]


@given(CONDITIONS)
def test_what_is_written_is_read_back_the_same(condition: Condition) -> None:
    assert typed(parse_filter(format_filter(condition))) == typed(condition)


@given(st.text())
def test_any_text_is_read_or_refused_as_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_filter(text)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(op="and"),
        Condition(op="in", field="a"),
        Condition(op="range", field="a", values=(None, None)),
        Condition(op="eq", field="a", values=(float("nan"),)),
    ],
)
def test_what_has_no_written_form_is_refused(condition: Condition) -> None:
    with pytest.raises(ValueError, match="no way to write"):
        format_filter(condition)
