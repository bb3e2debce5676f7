from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config.dump import to_yaml
from rag.config.problems import InvalidConfigError
from rag.config.variables import fill
from rag.config.yaml import MAX_BYTES, Node, parse, parse_value, read
from rag.errors import ConfigError


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidConfigError) as raised:
        parse(text, name="f.yaml")
    return [str(problem).split("\n")[0] for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("1e-5", 0.00001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("-.inf", -math.inf),
        ("=", "="),
        ("'1'", "1"),
        ('"~"', "~"),
        ("1.2.3", "1.2.3"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_scalar_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    read_value = parse(f"a: {text}", name="f.yaml").plain
    assert read_value == {"a": value}
    assert type(read_value["a"]) is type(value)  # type: ignore[index,call-overload]  # a mapping, by the line above


def test_nan_is_a_number() -> None:
    value = parse(".nan", name="f.yaml").value
    assert isinstance(value, float)
    assert math.isnan(value)


def test_every_key_and_value_knows_its_line_and_column() -> None:
    node = parse("a: 1\nb:\n  - x\n  - {c: yes}\n", name="f.yaml")
    item = node.at(("b", 1, "c"))
    assert item is not None
    assert item.key is not None
    assert (item.key.line, item.key.column) == (4, 6)
    assert item.origin.position == "f.yaml:4:9"
    assert item.origin.excerpt == "  - {c: yes}"


def test_lines_count_as_editors_count_them_when_the_file_has_crlf() -> None:
    node = parse("a: 1\r\nb: 2\r\n", name="f.yaml").at(("b",))
    assert node is not None
    assert (node.origin.line, node.origin.excerpt) == (2, "b: 2")


def test_equal_keys_are_all_refused_with_the_line_of_the_first() -> None:
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 3\n") == [
        "f.yaml:2:11: b.c: the key is already there, in line 2",
        "f.yaml:3:1: a: the key is already there, in line 1",
    ]


def test_tags_are_refused_also_on_keys() -> None:
    assert problems("a: !!python/object:os.system x\n!!str b: 1\n") == [
        "f.yaml:1:4: a: tags such as tag:yaml.org,2002:python/object:os.system are not allowed",
        "f.yaml:2:1: tags such as tag:yaml.org,2002:str are not allowed",
    ]


def test_an_anchor_may_be_used_again() -> None:
    assert parse("a: &x {k: 1}\nb: *x", name="f.yaml").plain == {"a": {"k": 1}, "b": {"k": 1}}


def test_a_billion_laughs_are_refused_before_they_are_written_out() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 10)}]" for name in "bcdefghi"]
    assert problems("\n".join(lines))[0].endswith("more than 10000 values, aliases written out")


def test_an_alias_to_the_node_it_stands_in_is_refused() -> None:
    assert problems("a: &a [*a]") == ["f.yaml:1:8: a.0: the alias *a has no complete &a before it"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\t- b", "f.yaml:2:1: a tab cannot indent; use spaces"),
        ("a: b: c", "f.yaml:1:5: mapping values are not allowed here"),
        ("a: \x07", "f.yaml:1:4: the character U+0007 is not allowed in YAML"),
        ("--- 1\n--- 2", "f.yaml:2:1: expected one document, found a second one"),
        ("? [a]\n: b", "f.yaml:1:3: expected a name as the key"),
        ("a: {<<: {}}", "f.yaml:1:5: a: merge keys are not part of YAML 1.2; use `extends` or `presets`"),
    ],
)
def test_what_is_not_yaml_is_reported_at_its_place(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_deep_nesting_is_refused_instead_of_overflowing_the_stack() -> None:
    assert problems("[" * 1000)[0].endswith("nested deeper than 32")


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse("# nothing yet\n", name="f.yaml").plain == {}


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("# " + "x" * MAX_BYTES)
    with pytest.raises(ConfigError, match="longer than 262144 bytes"):
        read(file, name="big.yaml")


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(InvalidConfigError, match=r"^latin\.yaml:2:7: not UTF-8: .* at byte 11$"):
        read(file, name="latin.yaml")


def test_a_file_in_utf_16_is_named_so(tmp_path: Path) -> None:
    file = tmp_path / "wide.yaml"
    file.write_bytes("a: 1\n".encode("utf-16"))
    with pytest.raises(InvalidConfigError, match=r"^wide\.yaml:1:1: it is UTF-16; save it as UTF-8$"):
        read(file, name="wide.yaml")


def test_a_variable_between_braces_without_quotes_is_named_so() -> None:
    with pytest.raises(InvalidConfigError, match=r"^x\.yaml:2:9: between braces, \$\{\.\.\.\} needs quotes"):
        parse("a: 1\nb: {c: ${HOME}}\n", name="x.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(file, name="bom.yaml").plain == {"a": 1}


def test_a_value_from_a_flag_may_be_a_list_or_a_mapping() -> None:
    node = parse_value("[{use: rrf, keep: 3}]", label="--set x")
    assert node.plain == [{"use": "rrf", "keep": 3}]
    inner = node.at((0, "keep"))
    assert inner is not None
    assert str(inner.origin) == "--set x"


def test_a_broken_value_from_a_flag_names_the_flag() -> None:
    with pytest.raises(InvalidConfigError) as raised:
        parse_value("[1", label="--set a=[1")
    assert str(raised.value).startswith("--set a=[1: ")


def test_an_error_names_no_escape_sequence_of_a_stranger_s_key() -> None:
    with pytest.raises(InvalidConfigError) as raised:
        parse('"\\e[31m": 1\n"\\e[31m": 2\n', name="f.yaml")
    assert "\x1b" not in str(raised.value)


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))


@given(st.dictionaries(text | st.just("<<"), values, max_size=4))
def test_what_is_written_is_read_back(mapping: dict[str, object]) -> None:
    written = to_yaml(mapping)  # type: ignore[arg-type]  # hypothesis does not type recursive values
    assert same(parse(written, name="f.yaml"), mapping)


def same(node: Node, value: object) -> bool:
    return repr(fill(node, {}, []).plain) == repr(value)  # repr tells 1 from 1.0 and True, and 0.0 from -0.0
