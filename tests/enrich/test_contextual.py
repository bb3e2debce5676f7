"""Notes that place a chunk in its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Pipeline
from rag.enrich import contextual
from rag.enrich.base import Cut
from rag.enrich.contextual import RuleContext, stretches
from rag.enrich.rules import Excerpt, summary
from rag.enrich.specs import ContextualSpec
from rag.errors import ConfigError
from rag.models.llm import Message
from rag.models.tokens import estimated_tokens
from rag.testing import sample

PROMPT = "{title}\n<source>{document}</source>\n---\n{text}"


@pytest.fixture
def enricher(tmp_path: Path, function_model):
    def make(answer=lambda messages: " On  leave,\nin March. ", **options: object):
        model = function_model(answer)
        with sample(tmp_path, prompts={"contextual": PROMPT}, llm=model) as made:
            return ContextualSpec.model_validate({"concurrency": 1, **options}).build(made.resources), model

    return make


def test_the_note_stands_before_the_context_a_chunk_has_and_says_who_wrote_it(enricher, of) -> None:
    made, _ = enricher()
    document, (chunk,) = of("Unused days lapse.")
    (noted,) = made.enrich([replace(chunk, context="Handbook")], document)
    assert noted.indexed_text == "On leave, in March.\nHandbook\nUnused days lapse."
    assert (noted.id, noted.text, noted.meta) == (chunk.id, chunk.text, {"context_by": "llm"})


def test_the_prompt_is_the_same_up_to_the_chunk_for_all_chunks_of_a_document(enricher, of) -> None:
    made, model = enricher()
    document, chunks = of("Dogs bark.", "Owls hoot.", title="Animals")
    made.enrich(chunks, document)
    (first, one), (second, other) = model.asked
    assert first == second == Message("system", "Animals\n<source>Dogs bark.\n\nOwls hoot.</source>")
    assert (one.content, other.content) == ("Dogs bark.", "Owls hoot.")


def test_a_long_document_is_given_in_stretches_each_with_the_chunks_in_it(enricher, of) -> None:
    made, model = enricher(document_tokens=100)
    document, chunks = of("a" * 300, "b" * 300)  # 151 tokens
    made.enrich(chunks, document)
    given_documents = [messages[0].content for messages in model.asked]
    assert "a" * 300 in given_documents[0]
    assert "b" * 250 in given_documents[1]
    assert "b" not in given_documents[0].replace("</source>", "")


@given(st.text(alphabet="ab \n", max_size=400), st.integers(1, 40))
def test_stretches_cover_a_text_in_order(text: str, tokens: int) -> None:
    found = stretches(text, tokens=tokens)
    assert found[0][0] == 0
    assert found[-1][1] == len(text)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert all(start < end for start, end in found) or not text


def test_a_text_that_fits_is_one_stretch_and_others_are_cut_at_lines() -> None:
    text = "one two three\nfour five six\n"
    assert stretches(text, tokens=estimated_tokens(text)) == [(0, len(text))]
    assert stretches(text, tokens=4) == [(0, 14), (14, 28)]


def test_a_note_that_is_too_long_is_cut(enricher, of) -> None:
    made, _ = enricher(lambda messages: "word " * 50, words=10)
    document, chunks = of("Dogs bark.")
    assert made.enrich(chunks, document)[0].context == " ".join(["word"] * 10)


def test_without_a_usable_reply_the_note_is_that_of_the_rules(enricher, of) -> None:
    def answer(messages: Sequence[Message]) -> str:
        return "" if messages[1].content == "Owls hoot." else "A note."

    made, model = enricher(answer)
    document, chunks = of("Dogs bark at noon.", "Owls hoot.", title="Animals")
    dogs, owls = made.enrich(chunks, document)
    assert (dogs.context, dogs.meta["context_by"]) == ("A note.", "llm")
    assert (owls.context, owls.meta["context_by"]) == ("Animals\nDogs bark at noon.", "rules")
    assert len(model.asked) == 3


def test_the_rules_do_not_repeat_the_chunk_and_leave_one_without_anything_alone(of) -> None:
    document, chunks = of("Dogs bark at noon.", "Owls hoot.")
    first, second = RuleContext().enrich(chunks, document)
    assert first == chunks[0]
    assert second.context == "Dogs bark at noon."


def test_notes_in_a_field_are_found_by_words_and_the_vectors_do_not_know_them(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "leave.md").write_text(f"# Leave\n\nUnused days lapse.\n\n{'Ask payroll. ' * 60}", "utf-8")
    common = [
        f"ingest.load=[{{use: files, root: {tmp_path / 'docs'}}}]",
        "ingest.embed={use: hash}",
        "ingest.chunk={use: fixed, characters: 400}",
    ]
    noted = ["ingest.enrich=[{use: contextual-rules, field: note}]", "ingest.index.sparse={use: bm25, fields: [note]}"]
    found, vectors = [], []
    for name, changes in (("plain", ["ingest.enrich=[]"]), ("noted", noted)):
        with Pipeline.from_yaml(
            "hybrid", overrides=[*common, *changes, f"ingest.index.path={tmp_path / name}"]
        ) as made:
            assert made.ingest().added == 1
            reader = made.index.reader()
            chunks = reader.chunks_of("leave.md")
            assert all(chunk.context == "" for chunk in chunks)
            vectors.append(reader.vectors(reader.rows_of(chunks)))
            assert reader.sparse is not None
            found.append(len(reader.sparse.search(["lapse"], k=9, allowed=None)[0].rows))
    assert np.array_equal(*vectors)
    assert found == [1, len(vectors[0])]  # every chunk of the document by the words of its first sentence
    assert len(vectors[0]) > 1


@pytest.mark.parametrize("sparse", ["null", "{use: bm25, fields: [questions]}"])
def test_notes_that_nothing_would_search_are_refused(sparse: str) -> None:
    common = ["ingest.enrich=[{use: contextual-rules, field: note}]", "ask.retrieve=[{use: dense}]"]
    Pipeline.from_yaml("hybrid", overrides=[*common, "ingest.index.sparse={use: bm25, fields: [note]}"]).close()
    with pytest.raises(ConfigError, match="nothing would search the notes"):
        Pipeline.from_yaml("hybrid", overrides=[*common, f"ingest.index.sparse={sparse}"])


def test_the_rules_look_for_a_documents_first_sentence_once_not_for_every_chunk(of, monkeypatch) -> None:
    read: list[str] = []

    def watched(excerpt: Excerpt) -> str | None:
        read.append(excerpt.chunk.text)
        return summary(excerpt)

    monkeypatch.setattr(contextual, "summary", watched)
    document, chunks = of("Dogs bark at noon.", "Owls hoot.", "Cats sleep.")
    noted = RuleContext().enrich(chunks, document)
    assert [chunk.context for chunk in noted] == ["", "Dogs bark at noon.", "Dogs bark at noon."]
    assert read == [document.text]


def test_the_cost_counts_the_document_for_every_chunk(enricher, of) -> None:
    made, _ = enricher(max_tokens=50)
    document, chunks = of("a" * 40, "b" * 40)
    cost = made.cost([Cut(document, chunks)])
    # system: "\n<source>" 9 + 82 + "</source>" 9 = 100 letters, 25 tokens and 4; user: 10 tokens and 4
    assert (cost.requests, cost.prompt_tokens, cost.completion_tokens) == (2, 2 * (29 + 14), 100)
