from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.index.filters import parse_filter
from rag.types import Condition, Document, Scalar


@pytest.fixture
def library(index, identity, embed, lines):
    documents = [
        Document(id="a", text="a0\na1", meta={"year": 2019, "lang": "en", "draft": True}),
        Document(id="b", text="b0\nb1", meta={"year": 2020.5, "lang": "de", "draft": False, "n": 1}),
        Document(id="c", text="c0", meta={"year": "2020", "lang": None, "n": True}),
        Document(id="d", text="d0", meta={"year": 2021, "n": 1.0, "big": 2**70}),
        Document(id="gone", text="gone", meta={"year": 2020}),
    ]
    own: dict[str, list[dict[str, Scalar]]] = {"a": [{"lang": "fr"}, {}], "b": [{}, {"year": None, "page": 3}]}
    with index.directory.writer(identity) as writer:
        for document in documents:
            chunks = lines(document, own.get(document.id))
            writer.add(document, chunks, embed([chunk.text for chunk in chunks]), stamp="", fingerprint="")
        writer.commit()
        writer.remove("gone")
        writer.commit()

    reader = index.directory.reader()

    def allowed(condition: str | Condition) -> str:
        parsed = parse_filter(condition) if isinstance(condition, str) else condition
        mask = reader.allowed(parsed, None)
        return " ".join(sorted(chunk.text for chunk in reader.chunks(np.flatnonzero(mask).tolist())))

    return allowed


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("year >= 2020", "b0 d0"),
        ("year <= 2020.5", "a0 a1 b0"),
        ('year = "2020"', "c0"),
        ("year = 2020", ""),
        ("year = 2021.0", "d0"),
        ('year >= "2"', "c0"),
        ("exists(year)", "a0 a1 b0 c0 d0"),
        ("exists(lang)", "a0 a1 b0 b1"),
        ("lang = null", "c0"),
        ('lang = "fr"', "a0"),
        ('lang = "en"', "a1"),
        ('not lang = "en"', "a0 b0 b1 c0 d0"),
        ('lang != "en" and exists(lang)', "a0 b0 b1"),
        ('lang in ("en", "de", 3)', "a1 b0 b1"),
        ("draft = true", "a0 a1"),
        ("draft = 1", ""),
        ("n = 1", "b0 b1 d0"),
        ("n = true", "c0"),
        ("page = 3", "b1"),
        ("year = null", "b1"),
        (f"big >= {2**69}", "d0"),
        ('year >= 2020 or lang = "fr"', "a0 b0 d0"),
        ("not (year >= 2020 or exists(draft))", "c0"),
        ("exists(nothing)", ""),
    ],
)
def test_a_condition_selects_by_value_and_type(library, condition: str, expected: str) -> None:
    assert library(condition) == expected


def test_ranges_have_both_ends_and_ends_of_one_type(library) -> None:
    assert library(Condition(op="range", field="year", values=(2019, 2020.5))) == "a0 a1 b0"
    assert library(Condition(op="range", field="year", values=("2000", 2021))) == ""
    assert library(Condition(op="in", field="year", values=())) == ""
    assert library(Condition(op="and")) == "a0 a1 b0 b1 c0 d0"
    assert library(Condition(op="or")) == ""
    with pytest.raises(ValueError, match="does not take the values"):
        library(Condition(op="eq", field="year", values=(1, 2)))


def test_values_reach_sqlite_as_parameters(library) -> None:
    assert library(Condition(op="eq", field="x' OR 1=1 --", values=("' OR 1=1 --",))) == ""


def test_without_condition_and_principals_there_is_no_mask(index) -> None:
    index.put(Document(id="a", text="one"))
    assert index.directory.reader().allowed(None, None) is None


def test_principals_see_only_lists_that_name_them(index) -> None:
    index.put(
        Document(id="a", text="unlisted"),
        Document(id="b", text="nobody", access=()),
        Document(id="c", text="ada", access=("ada",)),
        Document(id="d", text="both", access=("ada", "bob", "ada")),
    )
    reader = index.directory.reader()

    def seen(*principals: str) -> list[str]:
        mask = reader.allowed(None, frozenset(principals))
        return sorted(chunk.text for chunk in reader.chunks(np.flatnonzero(mask).tolist()))

    assert seen() == []
    assert seen("bob") == ["both"]
    assert seen("ada") == ["ada", "both"]
    assert seen("Ada", "eve", *(f"group{n}" for n in range(1000))) == []
    assert seen("bob", *(f"group{n}" for n in range(1000))) == ["both"]


def test_a_changed_access_list_holds_from_the_next_generation(index) -> None:
    index.put(Document(id="a", text="secret", access=("ada",)))
    assert index.directory.reader().allowed(None, frozenset({"ada"})).sum() == 1
    index.put(Document(id="a", text="secret", access=("bob",)))
    reader = index.directory.reader()
    assert reader.allowed(None, frozenset({"ada"})).sum() == 0
    assert reader.allowed(None, frozenset({"bob"})).sum() == 1


def test_a_kept_mask_is_not_taken_for_an_equal_value_of_another_type(library) -> None:
    assert library("n = 1") == "b0 b1 d0"
    assert library("n = true") == "c0"  # was the mask of `n = 1`: to Python the two conditions are equal


def test_a_mask_is_kept_for_the_next_question_and_cannot_be_changed(index) -> None:
    index.put(Document(id="a", text="one", meta={"n": 1}))
    reader, condition = index.directory.reader(), parse_filter("n = 1")
    mask = reader.allowed(condition, None)
    assert reader.allowed(parse_filter("n = 1"), None) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


ITEMS = ["", "1", "a", "b c", "ü"]
VALUES = st.sampled_from([None, True, False, 0, 1, 2, 1.0, 1.5, "", "1", "a"])
LEAVES = st.one_of(
    st.builds(lambda f, v: Condition(op="eq", field=f, values=(v,)), st.sampled_from("xy"), VALUES),
    st.builds(
        lambda f, v: Condition(op="in", field=f, values=tuple(v)), st.sampled_from("xy"), st.lists(VALUES, max_size=3)
    ),
    st.builds(lambda f, a, b: Condition(op="range", field=f, values=(a, b)), st.sampled_from("xy"), VALUES, VALUES),
    st.builds(lambda f: Condition(op="exists", field=f), st.sampled_from("xy")),
    st.builds(
        lambda f, v: Condition(op="contains", field=f, values=(v,)), st.sampled_from("xy"), st.sampled_from(ITEMS)
    ),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda op, parts: Condition(op=op, parts=tuple(parts[:1] if op == "not" else parts)),
        st.sampled_from(["and", "or", "not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
KINDS = {type(None): "null", bool: "bool", int: "number", float: "number", str: "text"}


def holds(condition: Condition, meta: dict[str, Scalar]) -> bool:
    """What a condition means, without SQL."""
    match condition.op:
        case "and":
            return all(holds(part, meta) for part in condition.parts)
        case "or":
            return any(holds(part, meta) for part in condition.parts)
        case "not":
            return not all(holds(part, meta) for part in condition.parts)
    if condition.field not in meta:
        return False
    value = meta[condition.field]
    if condition.op == "exists":
        return value is not None
    if condition.op == "contains":
        return isinstance(value, str) and str(condition.values[0]) in value.split("; ")
    if condition.op == "range":
        given_ends = [end for end in condition.values if end is not None]
        if value is None or any(KINDS[type(end)] != KINDS[type(value)] for end in given_ends):
            return False
        low, high = condition.values
        return (low is None or low <= value) and (high is None or value <= high)
    return any(KINDS[type(wanted)] == KINDS[type(value)] and wanted == value for wanted in condition.values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=CONDITIONS)
def test_sqlite_and_python_agree_on_every_condition(index, condition: Condition) -> None:
    values: list[Scalar] = [None, True, False, 0, 1, 2, 1.0, 1.5, "", "1", "a", "a; b c", "b; c; ü", "a;1"]
    metas: list[dict[str, Scalar]] = [{}, *({"x": value} for value in values)]
    metas += [{"x": a, "y": b} for a, b in zip(values, reversed(values), strict=True)]
    if not index.directory.exists():
        index.put(*(Document(id=f"{n:03d}", text=f"t{n:03d}", meta=meta) for n, meta in enumerate(metas)))
    reader = index.directory.reader()
    mask = reader.allowed(condition, None)
    found = {int(chunk.text[1:]) for chunk in reader.chunks(np.flatnonzero(mask).tolist())}
    assert found == {n for n, meta in enumerate(metas) if holds(condition, meta)}
