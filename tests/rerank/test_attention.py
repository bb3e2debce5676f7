from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag import library
from rag.errors import ConfigError, PromptError
from rag.models.attention import Attended, AttendingModel, AttentionPrompt, Head
from rag.models.attention_prompt import FIELDS, attention_prompt
from rag.models.template import Template
from rag.pipeline.spec import PipelineSpec
from rag.rerank.attention import AttentionReranker
from rag.rerank.attention_scores import calibrated, document_score, kept, query_attention
from rag.rerank.heads import (
    PUBLISHED,
    best_heads,
    contrastive_scores,
    layers_needed,
    mass_scores,
    ndcg_scores,
    retrieval_scores,
)
from rag.rerank.llm_specs import AttentionSpec
from rag.testing import ScriptedModel, check_reranker, sample
from rag.types import Query, Usage

from .conftest import names, ranked

Floats = NDArray[np.float32]
TEMPLATE = Template.parse("Read:\n\n{documents}\nFind.\nQuery: {question}", name="attend", fields=FIELDS)


class WordModel(ScriptedModel):
    """A word is a token. Its two heads attend 1 / 10 to each word of the tail: 0-0 to all, 0-1 to the first four."""

    def __init__(self, *, window: int = 1000) -> None:
        super().__init__([])
        self.window = window
        self.prompts: list[AttentionPrompt] = []

    def count(self, text: str) -> int:
        return len(text.split())

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        self.prompts.append(prompt)
        rows = [head.head for head in heads] if heads is not None else [0, 1]
        found: list[tuple[Floats, ...]] = []
        for tail in prompt.tails:
            asked = set(tail.lower().split())
            documents = [prompt.shared[start:end].lower().split() for start, end in prompt.documents]
            hits = [np.array([word in asked for word in words], np.float32) / 10 for words in documents]
            short = [np.where(np.arange(len(hit)) < 4, hit, 0) for hit in hits]
            found.append(
                tuple(np.stack([(one, other)[row] for row in rows]) for one, other in zip(hits, short, strict=True))
            )
        return Attended(tuple(found), Usage(7, 0, 2, cached_tokens=3))


def test_nothing_is_filtered_where_nothing_is_abnormally_low() -> None:
    scores = np.array([[0.25, 0.05, 0.15, -0.40]])
    assert kept(scores[0]).all()  # mean .0125 - 2 * .2869 = -.561
    assert document_score(scores, np.zeros((1, 4))) == pytest.approx(0.05)


def test_an_abnormally_low_token_is_left_out() -> None:
    scores = np.array([[0.2] * 9 + [-2.0]])
    assert kept(scores[0]).tolist() == [True] * 9 + [False]  # mean -.02 - 2 * .6957 = -1.411
    assert document_score(scores, np.zeros((1, 10))) == pytest.approx(1.8)


def test_a_single_token_counts_though_it_has_no_deviation() -> None:
    assert document_score(np.array([[0.3]]), np.array([[0.1]])) == pytest.approx(0.2)


def test_equal_tokens_all_count_though_none_is_above_their_mean() -> None:
    assert document_score(np.full((1, 3), 0.5), np.zeros((1, 3))) == pytest.approx(1.5)


def test_a_document_without_tokens_has_no_score() -> None:
    assert math.isnan(document_score(np.empty((2, 0)), np.empty((2, 0))))


def test_calibration_is_by_head_and_the_heads_are_summed() -> None:
    attention, blank = np.array([[0.5, 0.1], [0.2, 0.2]]), np.array([[0.1, 0.1], [0.3, 0.0]])
    np.testing.assert_allclose(calibrated(attention, blank), [0.3, 0.2])  # .4 - .1, 0 + .2


def test_attention_is_averaged_over_the_query_and_summed_over_layers_and_heads() -> None:
    # One layer, two heads, five tokens: a document of tokens 0 and 1, one of token 2, a query of tokens 3 and 4.
    weights = np.zeros((1, 2, 5, 5))
    weights[0, 0, 3] = [0.4, 0.2, 0.1, 0.3, 0.0]
    weights[0, 0, 4] = [0.2, 0.0, 0.5, 0.2, 0.1]
    weights[0, 1, 3] = [0.0, 0.0, 0.0, 1.0, 0.0]
    weights[0, 1, 4] = [0.1, 0.1, 0.4, 0.2, 0.2]
    first, second = query_attention(weights, slice(3, 5), [slice(0, 2), slice(2, 3)])
    np.testing.assert_allclose(first, [[0.3, 0.1], [0.05, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(second, [[0.3], [0.2]], rtol=1e-6)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_question_that_changes_no_attention_scores_nothing(heads: int, tokens: int, seed: int) -> None:
    attention = np.random.default_rng(seed).random((heads, tokens))
    assert document_score(attention, attention) == 0.0


def test_a_head_that_copies_three_of_four_needle_tokens_scores_three_quarters() -> None:
    context = np.array([9, 9, 1, 2, 3, 4, 9])  # the needle is 1 2 3 4 at positions 2 to 6
    generated = np.array([1, 2, 3, 4])
    attention = np.zeros((4, 1, 2, 7))
    for step, top in enumerate([2, 3, 4, 0]):  # the head looks elsewhere at the last step
        attention[step, 0, 0, top] = 1
    for step, top in enumerate([3, 4, 5, 2]):  # in the needle, but never at the token that is written
        attention[step, 0, 1, top] = 1
    np.testing.assert_allclose(retrieval_scores(attention.argmax(-1), context, generated, (2, 6)), [[0.75, 0.0]])


def test_heads_are_told_apart_by_mass_by_ranking_and_by_contrast() -> None:
    documents = np.array([[0.2, 0.1, 0.3], [0.5, 0.6, 0.9], [-0.1, 0.0, -0.2]])  # three heads, three documents
    gold = np.array([False, False, True])
    np.testing.assert_allclose(mass_scores(documents, gold), [0.3, 0.9, -0.2])
    np.testing.assert_allclose(ndcg_scores(documents, gold), [1, 1, 0.5])  # third of three: 1 / log2(4)
    shares = contrastive_scores(documents, gold)
    expected = np.exp(documents[:, 2]) / np.exp(documents).sum(axis=1)
    np.testing.assert_allclose(shares, expected)
    np.testing.assert_allclose(ndcg_scores(documents, np.zeros(3, np.bool_)), 0)


def test_the_best_heads_come_first_and_say_how_many_layers_are_needed() -> None:
    heads = best_heads(np.array([[0.1, 0.9], [0.9, 0.2]]), 3)
    assert [str(head) for head in heads] == ["0-1", "1-0", "1-1"]
    assert layers_needed(heads[:1]) == 1
    assert layers_needed(PUBLISHED["llama-3.1-8b"]) == 21
    assert {len(set(heads)) for heads in PUBLISHED.values()} == {16}


def test_the_document_that_the_question_draws_attention_to_comes_first() -> None:
    model = WordModel()
    reranker = AttentionReranker(model, TEMPLATE, keep=3)
    [after] = reranker.rerank([Query(text="dogs bark")], [ranked("cats meow query:", "dogs sleep", "dogs bark loudly")])
    # "query:" is in both tails, so calibration takes it away; two heads, .1 a word of the question
    assert names(after) == "cba"
    assert [hit.score for hit in after] == pytest.approx([0.4, 0.2, 0.0])
    assert after.notes == {"scored": 3, "left_out": 0, "requests": 2, "prompt_tokens": 7, "cached_tokens": 3}


def test_the_best_candidate_stands_last_and_documents_are_found_by_offsets() -> None:
    model = WordModel()
    AttentionReranker(model, TEMPLATE, keep=2, words=2).rerank(
        [Query(text="q")], [ranked("one two three", "</source> x")]
    )
    [prompt] = model.prompts
    assert [prompt.shared[start:end] for start, end in prompt.documents] == ["[1] ‹/source> x", "[2] one two"]
    assert prompt.tails == ("Find.\nQuery: N/A", "Find.\nQuery: q")


def test_candidates_in_canonical_order_stand_by_document_and_place_and_are_scored_alike() -> None:
    texts = ["dogs bark", "rain falls", "dogs sleep at night"]
    model = WordModel()
    reranker = AttentionReranker(model, TEMPLATE, keep=3, order="canonical")
    ranking = ranked(*texts)
    turned = replace(ranking, hits=ranking.hits[::-1])
    query = Query(text="dogs bark")
    after = [reranker.rerank([query], [each])[0] for each in (ranking, turned)]
    [prompt, same] = model.prompts
    assert [prompt.shared[start:end] for start, end in prompt.documents] == [
        f"[{number}] {text}" for number, text in enumerate(texts, 1)
    ]
    assert same == prompt  # whatever the ranking was
    assert [names(each) for each in after] == ["acb", "acb"]


def test_a_template_of_the_answer_shows_candidates_as_the_answer_does() -> None:
    template = Template.parse(
        "Cite, or say {no_answer}.\n---\n{history}\n<sources>\n{evidence}\n</sources>\n\nQuestion: {question}",
        name="answer",
        fields=FIELDS,
    )
    model = WordModel()
    query = Query(text="dogs bark", history=(("Who?", "Me."),))
    AttentionReranker(model, template, keep=2, words=None).rerank([query], [ranked("dogs bark", "<b> </source>")])
    [prompt] = model.prompts
    assert prompt.system == "Cite, or say NOT_IN_SOURCES."
    assert prompt.shared == (
        "<history>\nQuestion: Who?\nAnswer: Me.\n</history>\n<sources>\n"
        '<source id="1">\n<b> ‹/source>\n</source>\n<source id="2">\ndogs bark\n</source>'
    )
    assert prompt.tails[1] == "\n</sources>\n\nQuestion: dogs bark"
    assert [prompt.shared[start:end] for start, end in prompt.passages] == ["<b> ‹/source>", "dogs bark"]
    assert prompt.documents == prompt.passages


def test_without_calibration_one_pass_is_made_and_common_words_count() -> None:
    model = WordModel()
    reranker = AttentionReranker(model, TEMPLATE, keep=2, calibrate=False)
    [after] = reranker.rerank([Query(text="dogs bark")], [ranked("query: find.", "dogs")])
    assert names(after) == "ab"  # "query:" and "find." are in every tail, and are not taken off
    assert len(model.prompts[0].tails) == 1


def test_some_heads_alone_may_decide() -> None:
    texts = ["x x x dogs bark", "dogs sleep"]  # head 0-1 sees no more than "[n]" and three words
    everything = AttentionReranker(WordModel(), TEMPLATE, keep=2, heads=[Head(0, 0)])
    short = AttentionReranker(WordModel(), TEMPLATE, keep=2, heads=[Head(0, 1)])
    [by_all], [by_one] = (r.rerank([Query(text="dogs bark")], [ranked(*texts)]) for r in (everything, short))
    assert (names(by_all), names(by_one)) == ("ab", "ba")


def test_candidates_that_do_not_fit_follow_behind_and_are_counted() -> None:
    # 32 for the chat format, "Read:", two tails of up to four words, "[n]" and one word a document
    model = WordModel(window=46)
    ranking = ranked("a1", "b1", "c1", "d1", "dogs")
    [after] = AttentionReranker(model, TEMPLATE, keep=5).rerank([Query(text="dogs bark")], [ranking])
    assert names(after) == "abcde"
    assert after.notes == {"scored": 4, "left_out": 1, "requests": 2, "prompt_tokens": 7, "cached_tokens": 3}
    assert after[4].origin == "first"
    with pytest.raises(ConfigError, match="shows at least one passage, here 39 tokens of 38"):
        AttentionReranker(WordModel(window=38), TEMPLATE, keep=5).rerank([Query(text="dogs bark")], [ranking])


def test_a_prompt_without_its_parts_in_order_is_refused() -> None:
    for text in ("{question} {documents}", "{documents}", "{evidence} {documents} {question}", "{question}"):
        with pytest.raises(PromptError, match=r"and \{question\} behind it"):
            attention_prompt(Template.parse(text, name="mine", fields=FIELDS), ["?"], ["x"])


def test_a_pipeline_without_a_model_that_attends_is_refused_with_the_reason() -> None:
    server = "llm: {use: openai, base_url: 'http://127.0.0.1:1/v1', model: m}"
    ask = "ask: {rerank: [{use: attention}]}"
    with pytest.raises(Exception, match="'attention' asks a language model, the pipeline names none"):
        PipelineSpec.from_yaml(f"version: 1\n{ask}")
    with pytest.raises(Exception, match="which the language model 'openai' does not show: set `llm` to"):
        PipelineSpec.from_yaml(f"version: 1\n{server}\n{ask}")
    PipelineSpec.from_yaml(f"version: 1\nllm: {{use: given}}\n{ask}")


def test_a_file_of_heads_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    llm = f"llm: {{use: transformers, model: {tmp_path}}}"
    with pytest.raises(Exception, match=r"the file heads.json is not there; `rag heads detect` makes it"):
        PipelineSpec.from_yaml(f"version: 1\n{llm}\nask: {{rerank: [{{use: attention, heads: heads.json}}]}}")
    PipelineSpec.from_yaml(f"version: 1\n{llm}\nask: {{rerank: [{{use: attention, heads: ['1-2']}}]}}")


def test_a_given_model_that_does_not_attend_is_refused_at_the_question() -> None:
    reranker = AttentionReranker(ScriptedModel([]), TEMPLATE, keep=2)
    with pytest.raises(ConfigError, match="ScriptedModel does not"):
        reranker.rerank([Query(text="q")], [ranked("x", "y")])


def test_the_contract_holds_with_the_prompt_that_ships(tmp_path: Path) -> None:
    model = WordModel()
    assert isinstance(model, AttendingModel)
    with sample(tmp_path, prompts={"attend": library.read("prompts", "attend")}, llm=model) as indexed:
        for keep in (1, 4, 100):
            for heads in ("all", ("0-1", "0-0")):
                spec = AttentionSpec(keep=keep, depth=5, heads=heads)  # type: ignore[arg-type]
                check_reranker(spec.build(indexed.resources), chunks=indexed.chunks, keep=keep)
