from __future__ import annotations

from rag.models.llm import Message
from rag.models.openai import OpenAIModel
from rag.testing.openai_stub import OpenAIStub, Reply


def test_lone_surrogates_of_a_question_or_a_source_reach_the_server_as_question_marks() -> None:
    with OpenAIStub([Reply(text="Dogs bark.")] * 2) as server:
        model = OpenAIModel(base_url=server.base_url, model="stub")
        messages = [Message("user", "caf\udce9.txt: \ud800 dogs 😀?")]
        assert model.complete(messages).text == "Dogs bark."
        assert len(list(model.stream(messages))) > 1
        model.close()
    assert [request.prompt for request in server.requests] == ["caf?.txt: ? dogs 😀?"] * 2
