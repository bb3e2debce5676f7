from __future__ import annotations

from collections.abc import Mapping

import pytest

from rag.config.problems import Problem
from rag.config.variables import fill
from rag.config.yaml import Plain, parse


def filled(text: str, environ: Mapping[str, str]) -> tuple[Plain, list[Problem]]:
    problems: list[Problem] = []
    return fill(parse(text, name="f.yaml"), environ, problems).plain, problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${K}", 5),
        ("'${K}'", "5"),
        ("${K}${K}", "55"),
        ("a ${K} b", "a 5 b"),
        ("${GONE:-7}", 7),
        ("${GONE:-}", None),
        ("${EMPTY:-7}", 7),
        ("${EMPTY}", None),
        ("${URL:-http://127.0.0.1:8000/v1}", "http://127.0.0.1:8000/v1"),
        ("$${K}", "${K}"),
        ("$K {K}", "$K {K}"),
        ("${INJECTED}", "{use: rrf}"),
        ("${LINES}", "a: 1\nb: 2"),
        ("${NESTED}", "${K}"),
    ],
)
def test_a_variable_is_filled_in_after_parsing(text: str, value: object) -> None:
    environ = {"K": "5", "EMPTY": "", "INJECTED": "{use: rrf}", "LINES": "a: 1\nb: 2", "NESTED": "${K}"}
    plain, problems = filled(f"a: [{text!r}]" if "'" not in text and " " in text else f"a:\n  - {text}", environ)
    assert (plain, problems) == ({"a": [value]}, [])


def test_a_variable_that_is_not_set_is_reported_where_it_stands() -> None:
    _, problems = filled("a:\n  b: x${GONE}\n", {})
    assert [str(problem).split("\n")[0] for problem in problems] == [
        "f.yaml:2:6: a.b: the environment variable GONE is not set; set it, or write ${GONE:-default}"
    ]


def test_a_broken_reference_is_reported() -> None:
    _, problems = filled("a: ${1}\nb: '${K'\n", {"K": "5"})
    assert [problem.path for problem in problems] == [("a",), ("b",)]


def test_a_filled_value_remembers_its_variable() -> None:
    node = fill(parse("a: ${K}", name="f.yaml"), {"K": "5"}, []).at(("a",))
    assert node is not None
    assert node.origin.variable == "K"
