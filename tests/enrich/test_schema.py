"""Fields are asked for with their types, and replies held to them."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rag.enrich.asking import UnusableReplyError, the_object
from rag.enrich.schema import json_schema, listed, stored, validated
from rag.enrich.specs import DEFAULT_FIELDS, FieldSpec, MetadataRulesSpec

FIELDS = (
    FieldSpec(name="topic", choices=("Leave", "Pay")),
    FieldSpec(name="days", type="int"),
    FieldSpec(name="rate", type="float"),
    FieldSpec(name="binding", type="bool"),
    FieldSpec(name="since", type="date"),
    FieldSpec(name="names", type="list", most=2, grounded=True),
    FieldSpec(name="note", most=3),
)
GOOD = {
    "topic": "leave",
    "days": 27,
    "rate": 2,
    "binding": True,
    "since": "2024-05-01",
    "names": ["Acme", "acme ", "Nobody", "Bob"],
    "note": "one  two three four",
}


def test_values_are_trimmed_cut_and_held_to_what_the_text_says() -> None:
    assert validated(FIELDS, GOOD, "Bob works at ACME.") == {
        "topic": "Leave",
        "days": 27,
        "rate": 2.0,
        "binding": True,
        "since": "2024-05-01",
        "names": ["Acme"],  # "Nobody" took the second place of the list and is not in the text
        "note": "one two three",
    }


def test_null_empty_and_absent_values_are_left_out() -> None:
    assert validated(FIELDS, {"topic": None, "names": [], "note": "  ", "unknown": 1}, "") == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("topic", "Travel"),
        ("topic", 1),
        ("days", "27"),
        ("days", 2.5),
        ("days", True),
        ("rate", False),
        ("rate", float("inf")),
        ("binding", "yes"),
        ("since", "1 May 2024"),
        ("names", "Acme"),
        ("names", ["Acme", 1]),
        ("note", ["a"]),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name: str, value: object) -> None:
    with pytest.raises(UnusableReplyError, match=f"^{name}: expected"):
        validated(FIELDS, {**GOOD, name: value}, "")  # type: ignore[dict-item]  # any JSON


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(UnusableReplyError, match=r"^days: .*; binding: "):
        validated(FIELDS, {"days": "x", "binding": "x"}, "")


def test_the_schema_takes_the_good_and_refuses_the_bad() -> None:
    schema = json_schema(FIELDS)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({**GOOD, "topic": "Leave"}, schema)
    jsonschema.validate({**dict.fromkeys(GOOD), "names": []}, schema)
    for wrong in ({"topic": "Travel"}, {"days": 2.5}, {"names": None}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**GOOD, **wrong}, schema)


def test_the_default_schema_is_one_that_strict_servers_take() -> None:
    schema = json_schema(DEFAULT_FIELDS)
    assert schema["required"] == [field.name for field in DEFAULT_FIELDS]
    assert schema["additionalProperties"] is False


def test_a_list_is_stored_as_one_text_whose_separator_no_item_has() -> None:
    assert stored({"names": listed(["a; b", "c;d"], most=None)}) == {"names": "a, b; c,d"}


@given(st.lists(st.text(max_size=12), max_size=8))
def test_the_items_of_a_stored_list_can_be_read_back(items: list[str]) -> None:
    kept = listed(items, most=None)
    text = stored({"names": kept})["names"]
    assert (str(text).split("; ") if text else []) == kept


@pytest.mark.parametrize("reply", ["", "no object", "} {", 'Here: {"a": 1}', '{"a": }', "[1]", '{"a": 1} and {"b": 2}'])
def test_a_reply_without_one_object_is_of_no_use(reply: str) -> None:
    with pytest.raises(UnusableReplyError):
        the_object(reply)


def test_an_object_is_found_in_a_fence() -> None:
    assert the_object(f"```json\n{json.dumps(GOOD)}\n```") == GOOD


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{"name": "a"}, {"name": "a"}], "several fields are named a"),
        ([{"name": "a", "type": "int", "choices": ["x"]}], "choices are for fields of type `str`"),
        ([{"name": "a", "type": "str", "rule": "keywords"}], "gives a `list`"),
        ([{"name": "a b"}], "should match pattern"),
        ([], "at least 1"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(fields: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MetadataRulesSpec.model_validate({"use": "metadata-rules", "fields": fields})
