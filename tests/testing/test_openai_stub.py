from __future__ import annotations

import httpx

from rag.models.llm import Message
from rag.models.openai import OpenAIModel
from rag.testing.openai_stub import OpenAIStub

PROMPT = 'Sources:\n<source id="3" from="a.md">\n# Dogs\n\nDogs bark. Cats meow.\n</source>\nDo dogs bark?'


def test_it_quotes_the_first_sentence_of_the_first_source_with_its_number() -> None:
    with OpenAIStub() as stub:
        model = OpenAIModel(base_url=stub.base_url, model="stub")
        assert model.complete([Message("user", PROMPT)]).text == "Dogs bark. [3]"
        model.close()


def test_without_sources_it_repeats_the_last_line() -> None:
    with OpenAIStub() as stub:
        model = OpenAIModel(base_url=stub.base_url, model="stub")
        assert model.complete([Message("user", "Rewrite.\n\nDo dogs bark?\n")]).text == "Do dogs bark?"
        model.close()


def test_it_also_answers_in_one_piece() -> None:
    with OpenAIStub() as stub:
        body = {"model": "stub", "messages": [{"role": "user", "content": PROMPT}]}
        reply = httpx.post(f"{stub.base_url}/chat/completions", json=body, trust_env=False).json()
    assert reply["choices"][0]["message"]["content"] == "Dogs bark. [3]"
    assert reply["usage"]["completion_tokens"] == 3
