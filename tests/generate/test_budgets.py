from __future__ import annotations

import pytest

from rag.errors import ConfigError
from rag.generate.prompt import FIELDS, Budgets, render
from rag.models.template import Template
from rag.types import Evidence, Prompt, Span

TEMPLATE = Template.parse("{history}\n{evidence}\n{question}", name="t", fields=FIELDS)
EVIDENCE = tuple(
    Evidence(span=Span(name, 0, 14), text="one two three.", score=score, chunk_id=name)
    for name, score in (("a", 1.0), ("b", 3.0), ("c", 2.0))
)
TURNS = (("first?", "one"), ("second?", "two"), ("third?", "three"))


def words(text: str) -> int:
    return len(text.split())


def rendered(budgets: Budgets) -> tuple[str, tuple[int, ...]]:
    prompt = Prompt(question="now?", evidence=EVIDENCE, history=TURNS)
    (message,), given = render(prompt, TEMPLATE, tokens=1000, count=words, budgets=budgets)
    return message.content, given


def test_without_budgets_everything_that_fits_the_window_is_there() -> None:
    text, given = rendered(Budgets())
    assert given == (1, 2, 3)
    assert "first?" in text


def test_evidence_keeps_to_its_budget_best_first_under_its_own_numbers() -> None:
    # a block: '<source id="2" from="b">', three words, '</source>', and one for the line between: 3 + 3 + 1 + 1 = 8
    assert rendered(Budgets(evidence=16))[1] == (2, 3)
    assert rendered(Budgets(evidence=15))[1] == (2,)
    with pytest.raises(ConfigError, match="7 tokens are left for sources"):
        rendered(Budgets(evidence=7))


def test_the_oldest_turns_go_first_and_never_half_a_turn() -> None:
    # the tags of the history, then four words a turn
    text, _ = rendered(Budgets(history=2 + 8))
    assert "first?" not in text
    assert "second?" in text
    assert "third?" in text
    assert "third?" not in rendered(Budgets(history=5))[0]
    assert "<history>" not in rendered(Budgets(history=0))[0]


def test_the_version_of_a_prompt_is_its_name_and_what_it_says() -> None:
    same = Template.parse("{history}\n{evidence}\n{question}", name="t", fields=FIELDS)
    other = Template.parse("{history}\n{evidence}\nQ: {question}", name="t", fields=FIELDS)
    moved = Template.parse("{history}\n---\n{evidence}\n{question}", name="t", fields=FIELDS)
    assert TEMPLATE.version == same.version
    assert len({TEMPLATE.version, other.version, moved.version}) == 3
    assert TEMPLATE.version.startswith("t@")
