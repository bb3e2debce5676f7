"""One local model ranks, compresses and writes; what it read for one stage is not read again for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag import library
from rag.errors import ModelError
from rag.models.attention import Head
from rag.models.attention_heads import DetectedHeads, anatomy_of
from rag.models.llm import Message, Sampling
from rag.pipeline.aio import AsyncPipeline
from rag.pipeline.pipeline import Pipeline
from rag.testing.tiny_llama import make_tiny_llama
from rag.types import Answer, Scalar

ANIMALS = ("dogs", "cats", "owls", "cows", "bees", "ants", "bats", "rats", "hens", "pigs")
PLACES = ("north", "south")
VERBS = ("sleep", "eat their food", "go away")
SKY = ("rains", "snows a little", "is dark outside")


def documents() -> Iterator[tuple[str, str]]:
    for animal in ANIMALS:
        for place in PLACES:
            sentences = [f"The {animal} of the {place} {verb} when it {sky}." for verb in VERBS for sky in SKY]
            yield f"{animal}-{place}.md", " ".join(sentences)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its tokens are words, as those of real models mostly are."""
    frames = [f'<source id="{number}" from="dogs-north.md, line {number}">\n</source>\n' for number in range(40)]
    texts = [library.read("prompts", "answer"), *frames, *(text for _, text in documents())]
    return make_tiny_llama(tmp_path_factory.mktemp("model"), texts=texts, vocabulary=1500, window=8192)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Twenty documents of one chunk, each of nine sentences."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in documents():
        (folder / name).write_text(text)
    return folder


def opened(model: Path, sources: Path, *changes: str) -> Pipeline:
    overrides = [
        f"llm.model={model}",
        "llm.allow_download=false",
        "llm.device=cpu",
        "llm.reuse.path=null",
        f"ingest.load=[{{use: files, root: {sources}}}]",
        "ingest.embed={use: hash, dimension: 64}",
        "ask.compress.tokens=1500",  # most sentences stay, as a random model looks at all alike
        "ask.generate.max_tokens=8",
        *changes,
    ]
    pipeline = Pipeline.from_yaml("one-prefill", overrides=overrides)
    pipeline.ingest()
    return pipeline


def notes(answer: Answer, stage: str) -> dict[str, Scalar]:
    [record] = [record for record in answer.trace.stages if record.stage == stage]
    return dict(record.notes)


def computed(answer: Answer) -> int:
    """Prompt tokens that the model had to compute for all stages together."""
    total = 0
    for stage in ("rerank", "compress", "generate"):
        of_stage = {name: int(value) for name, value in notes(answer, stage).items() if isinstance(value, int)}
        if "recomputed" in of_stage:
            total += of_stage["recomputed"] + of_stage["read_alone"]
        else:
            total += of_stage["prompt_tokens"] - of_stage["cached_tokens"]
    return total


def test_three_stages_read_each_chunk_once(model: Path, sources: Path) -> None:
    with opened(model, sources, "llm.reuse=null") as pipeline:
        apart = pipeline.ask("Where do the owls sleep?")
    with opened(model, sources, "llm.reuse.policy={use: none}") as pipeline:
        together = pipeline.ask("Where do the owls sleep?")
        later = pipeline.ask("What do bees eat in the south?")
    for answer in (apart, together, later):
        assert notes(answer, "rerank")["scored"] == 20
        assert notes(answer, "compress")["sentences_in"] == 180
    assert computed(apart) >= 2 * computed(together), (computed(apart), computed(together))
    assert computed(apart) >= 5 * computed(later)  # chunks that were read for another question are not read at all


@pytest.mark.parametrize(("policy", "less", "of_plain"), [("none", 2.0, 1.3), ("first_k", 1.8, 1.4)])
def test_the_question_is_read_once_for_three_stages(
    model: Path, sources: Path, policy: str, less: float, of_plain: float
) -> None:
    question = "Where do the owls sleep?"
    cut = "ask.compress.tokens=200"
    with opened(model, sources, "llm.reuse=null", cut) as pipeline:
        apart = pipeline.ask(question)
    with opened(model, sources, "llm.reuse=null", "ask.rerank=[]", "ask.compress={use: none, keep: 20}") as pipeline:
        plain = notes(pipeline.ask(question), "generate")
    with opened(model, sources, f"llm.reuse.policy={{use: {policy}}}", cut) as pipeline:
        together = pipeline.ask(question)
    ranked, cut_down, written = (notes(together, stage) for stage in ("rerank", "compress", "generate"))
    assert (ranked["questions"], cut_down["questions"], written["questions"]) == (0, 1, 1)
    assert cut_down["recomputed"] == 0
    assert int(str(cut_down["sentences_out"])) < 180
    # What is written from is what compression left of the prompt it read; the lines over sources are new.
    assert written["from_prompt"] == written["reused"] == written["cached_tokens"]
    assert computed(apart) >= less * computed(together)
    assert computed(together) <= of_plain * int(str(plain["prompt_tokens"]))


def test_callers_who_ask_at_the_same_time_get_no_answer_from_each_others_pass(model: Path, sources: Path) -> None:
    questions = ("Where do the owls sleep?", "What do bees eat in the south?")
    alone: dict[tuple[str, object], str] = {}
    for kept in ("kept", "again"):
        for question in questions:
            changes = ("llm.reuse.policy={use: none}", f"llm.reuse.question={kept}", "ask.compress.tokens=200")
            with opened(model, sources, *changes) as pipeline:
                answer = pipeline.ask(question)
            assert notes(answer, "generate")["questions"] == (1 if kept == "kept" else 0)
            alone[question, notes(answer, "generate")["questions"]] = answer.text

    async def together(pipeline: Pipeline) -> list[Answer]:
        return list(await asyncio.gather(*(AsyncPipeline(pipeline).ask(question) for question in questions * 3)))

    with opened(model, sources, "llm.reuse.policy={use: none}", "ask.compress.tokens=200") as pipeline:
        answers = asyncio.run(together(pipeline))
        batch = pipeline.ask_many(questions)
    for question, answer in zip((*questions * 3, *questions), (*answers, *batch), strict=True):
        found = notes(answer, "generate")
        assert answer.text == alone[question, found["questions"]]
        assert bool(found["apart"]) == (found["questions"] == 0)


def test_the_trace_says_what_was_reused_and_where_it_was(model: Path, sources: Path, tmp_path: Path) -> None:
    changes = ("llm.reuse.policy={use: none}", f"llm.reuse.path={tmp_path / 'kv'}")
    with opened(model, sources, *changes) as pipeline:
        first = pipeline.ask("Where do the owls sleep?")
        same = pipeline.ask("What do bees eat in the south?")
        pipeline.resources.llm.complete([Message("user", "Sources:\nDogs bark.", ((9, 19),))], Sampling(max_tokens=1))
        again = pipeline.ask("What do bees eat in the south?")
    with opened(model, sources, *changes) as pipeline:
        later = pipeline.ask("Where do the owls sleep?")
    for answer in (first, same, again, later):
        for stage in ("rerank", "compress", "generate"):
            of_stage = notes(answer, stage)
            reused, recomputed, alone = (int(str(of_stage[name])) for name in ("reused", "recomputed", "read_alone"))
            assert of_stage["prompt_tokens"] == reused + recomputed
            assert alone or of_stage["cached_tokens"] == reused
    ranked = [notes(answer, "rerank") for answer in (first, again, later)]
    found_in = [(int(str(found["from_memory"])), int(str(found["from_disk"]))) for found in ranked]
    assert found_in[:2] == [(0, 0), (20, 0)]
    assert sum(found_in[2]) == 20  # from disk, or brought to memory while the question was being looked for
    assert [found["read_alone"] == 0 for found in ranked] == [False, True, True]
    # The same twenty chunks stand in the prompt read last, in the canonical order.
    [found] = [notes(same, "rerank")]
    assert (found["from_memory"], found["from_disk"], found["from_prompt"]) == (0, 0, found["reused"])


def test_with_an_exact_policy_the_answer_is_the_one_without_reuse(model: Path, sources: Path) -> None:
    question = "Where do the owls sleep?"
    with opened(model, sources, "llm.reuse=null") as pipeline:
        expected = pipeline.ask(question)
    with opened(model, sources, "llm.reuse.policy={use: prefix}", "llm.reuse.question=again") as pipeline:
        given = [pipeline.ask(question), pipeline.ask(question)]
    assert notes(given[0], "compress")["questions"] == 1  # found, which loses nothing
    for answer in given:
        assert answer.text == expected.text
        assert [part.span for part in answer.evidence] == [part.span for part in expected.evidence]
    assert computed(given[1]) < computed(given[0])


def test_what_was_computed_outlives_the_process(model: Path, sources: Path, tmp_path: Path) -> None:
    changes = ("llm.reuse.policy={use: none}", f"llm.reuse.path={tmp_path / 'kv'}")
    with opened(model, sources, *changes) as pipeline:
        first = pipeline.ask("Where do the owls sleep?")
    with opened(model, sources, *changes) as pipeline:
        again = pipeline.ask("Where do the owls sleep?")
    assert computed(again) * 3 <= computed(first)
    assert again.text == first.text


def test_heads_that_were_detected_are_taken_from_their_file_and_refused_for_another_model(
    model: Path, sources: Path, tmp_path: Path
) -> None:
    with opened(model, sources) as pipeline:
        anatomy = anatomy_of(pipeline.language_model, asked_by="test")
    scores = ((Head(1, 0), 0.9), (Head(0, 1), 0.4), (Head(0, 0), 0.1), (Head(1, 1), 0.0))
    own = DetectedHeads(anatomy=anatomy, method="ndcg", data="by hand", trials=1, scores=scores)
    own.save(tmp_path / "own.json")
    replace(own, anatomy=replace(anatomy, model="other", weights="0" * 32)).save(tmp_path / "other.json")
    changes = ["ask.compress={use: none}", "ask.rerank=[{use: attention, heads: %s, best: 1, keep: 3}]"]
    with opened(model, sources, changes[0], changes[1] % (tmp_path / "own.json")) as pipeline:
        by_file = pipeline.search("Where do the owls sleep?").ranking
    with opened(model, sources, changes[0], changes[1] % "['1-0']") as pipeline:
        by_name = pipeline.search("Where do the owls sleep?").ranking
    assert [hit.chunk for hit in by_file] == [hit.chunk for hit in by_name]
    with (
        opened(model, sources, changes[0], changes[1] % (tmp_path / "other.json")) as pipeline,
        pytest.raises(ModelError, match=r"those of 'other' .*the pipeline's model is '.*model\d+'"),
    ):
        pipeline.search("Where do the owls sleep?")
