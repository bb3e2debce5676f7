"""The micro language model of the benchmarks: its task, its tokenizer, its training rows and what it has learned."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rag import Pipeline
from rag.generate.prompt import FIELDS, render
from rag.models.template import Template
from rag.types import Answer, Evidence, Prompt, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

torch = pytest.importorskip("torch", reason="torch is not installed (extra hf)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """The benchmarks are scripts beside each other, not part of the package."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def data(importable: None) -> ModuleType:
    return import_module("microlm.data")


@pytest.fixture(scope="module")
def batches(importable: None) -> ModuleType:
    return import_module("microlm.batches")


@pytest.fixture(scope="module")
def evaluate(importable: None) -> ModuleType:
    return import_module("microlm.evaluate")


@pytest.fixture(scope="module")
def tokenizer(evaluate: ModuleType) -> PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(evaluate.MODEL, local_files_only=True)


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_stands_at_its_span_in_the_last_gold_chunk(data: ModuleType, seed: int) -> None:
    context = data.make_context(random.Random(seed), 1 + seed % 12)
    for question in context.questions:
        start, end = question.span
        assert context.chunks[question.gold[-1]][start:end] == question.answer


@pytest.mark.parametrize("seed", range(20))
def test_a_question_of_two_hops_needs_the_home_from_one_chunk_and_the_rest_from_another(
    data: ModuleType, seed: int
) -> None:
    context = data.make_context(random.Random(seed), 6)
    two = [question for question in context.questions if question.kind == "two"]
    assert two
    for question in two:
        first, second = question.gold
        person = question.text.split(" the home of ")[1].split()[0]
        assert first != second
        assert f"{person} inhabits {question.bridge}." in context.chunks[first]
        assert any(
            f"{question.bridge} {verb} {question.answer}." in context.chunks[second] for verb in ("sells", "honours")
        )


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_place_named_last_in_the_chunk_before(data: ModuleType, seed: int) -> None:
    context = data.make_context(random.Random(seed), 6, references=1.0)
    asked = [question for question in context.questions if question.kind == "reference"]
    assert asked
    for question in asked:
        before, here = question.gold
        place = question.text.removeprefix("What does ").removesuffix(" fear?")
        words = context.chunks[before].replace(".", "").split()
        assert [word for word in words if word in data.PLACES][-1] == place
        assert here == before + 1
        assert context.chunks[here].startswith(f"It fears {question.answer}.")


@pytest.mark.parametrize("seed", range(20))
def test_no_question_of_a_context_has_two_answers(data: ModuleType, seed: int) -> None:
    questions = data.make_context(random.Random(seed), 12).questions
    assert len({question.text for question in questions}) == len(questions)


def test_a_context_is_the_same_for_the_same_seed_and_has_chunks_of_8_to_24_words(data: ModuleType) -> None:
    one, again = (data.make_context(random.Random(7), 12) for _ in range(2))
    assert one == again
    assert all(8 <= len(chunk.split()) <= 24 for chunk in one.chunks)


def test_more_chunks_than_there_are_source_numbers_are_refused(data: ModuleType) -> None:
    with pytest.raises(ValueError, match="21 chunks"):
        data.make_context(random.Random(0), 21)


def test_chunks_are_laid_out_as_the_generate_stage_and_the_chat_template_lay_them_out(
    data: ModuleType, tokenizer: PreTrainedTokenizerBase
) -> None:
    chunks = data.make_context(random.Random(3), 3).chunks
    evidence = tuple(
        Evidence(span=Span(f"note-{number}", 0, len(text)), text=text, score=1.0, chunk_id=f"note-{number}:0")
        for number, text in enumerate(chunks)
    )
    template = Template.parse(data.PROMPT.read_text(encoding="utf-8"), name="micro", fields=FIELDS)
    messages, numbers = render(
        Prompt(question="Where does Kufin live?", evidence=evidence),
        template,
        tokens=2000,
        count=lambda text: len(tokenizer.tokenize(text)),
    )
    ours = data.head(chunks) + data.tail("Where does Kufin live?")
    theirs = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert numbers == (1, 2, 3)
    assert tokenizer(theirs)["input_ids"] == tokenizer(ours)["input_ids"]


def test_every_word_of_the_task_is_one_token_and_reads_back(
    data: ModuleType, tokenizer: PreTrainedTokenizerBase
) -> None:
    context = data.make_context(random.Random(5), 12, references=1.0)
    for question in context.questions:
        text = f"{data.tail(question.text)} {data.reply(question)}"
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text.replace("?", " ?").replace("\n", " ")
    ids = tokenizer(data.head(context.chunks))["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert [tokenizer.convert_ids_to_tokens(i) for i in ids].count("</source>") == 12


def test_the_tokenizer_beside_the_model_is_the_one_that_is_built(evaluate: ModuleType, importable: None) -> None:
    built = import_module("microlm.tokenizer").build()
    saved = json.loads((evaluate.MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    assert json.loads(built.backend_tokenizer.to_str()) == saved


def test_a_draft_of_an_answer_is_continued_behind_the_cue(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = [
        {"role": "user", "content": "Question: Where does Kufin live?"},
        {"role": "assistant", "content": "Rakiria"},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False, continue_final_message=True)
    assert text == "Question: Where does Kufin live?\nAnswer: Rakiria"


def test_training_reads_text_as_the_tokenizer_does(
    data: ModuleType, batches: ModuleType, tokenizer: PreTrainedTokenizerBase
) -> None:
    encode = batches.Encoder(tokenizer.get_vocab(), tokenizer.eos_token_id)
    text = data.head(data.make_context(random.Random(9), 12).chunks) + data.tail(data.CONTENT_FREE)
    assert encode(text) == tokenizer(text)["input_ids"]


def test_a_question_of_a_training_row_sees_what_a_prompt_of_its_own_would_show(
    data: ModuleType, batches: ModuleType, tokenizer: PreTrainedTokenizerBase
) -> None:
    encode = batches.Encoder(tokenizer.get_vocab(), tokenizer.eos_token_id)
    stage = batches.Stage(chunks=(3, 3), facts=(3, 4), mix={"one": 1.0, "two": 1.0}, questions=4, until={})
    batch = batches.draw(random.Random(1), stage, encode, tokens=300)
    cues = (batch.kinds[0] >= 0).nonzero()[:, 0].tolist()
    assert len(cues) == 4
    for cue in cues:
        seen = batch.mask[0, 0, cue]
        alone = tokenizer.decode(batch.tokens[0, seen])
        assert batch.positions[0, seen].tolist() == list(range(int(seen.sum())))
        assert alone.startswith("Answer from the sources .")
        assert alone.count("Question:") == 1
        assert alone.endswith("? Answer:")


def test_muon_turns_a_gradient_into_an_orthogonal_step(importable: None) -> None:
    # The quintic of Newton and Schulz takes singular values into about 0.7 to 1.2, not to 1.
    torch.manual_seed(0)
    steps = import_module("microlm.muon").orthogonal(torch.randn(3, 24, 10) * 50)
    values = torch.linalg.svdvals(steps)
    assert steps.shape == (3, 24, 10)
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.fixture(scope="module")
def loaded(evaluate: ModuleType) -> tuple[Any, Any]:
    return evaluate.load(evaluate.MODEL)


def test_the_model_answers_and_cites_over_six_chunks(evaluate: ModuleType, loaded: tuple[Any, Any]) -> None:
    examples = evaluate.examples(11, chunks=6, contexts=8)
    answered = [one for context, questions in examples for one in evaluate.ask(*loaded, context, questions)]
    shares = evaluate.shares(answered)
    assert len(answered) >= 40
    assert {name for name, share in shares.items() if share < 0.9} == set()


def test_calibrated_attention_of_all_heads_ranks_the_gold_chunk_first(
    evaluate: ModuleType, loaded: tuple[Any, Any]
) -> None:
    rows = {(row["kind"], row["scores"]): row for row in evaluate.rankings(*loaded, 3, contexts=6)}
    for kind in ("one", "two", "reference"):
        calibrated, plain = rows[kind, "all heads, calibrated"], rows[kind, "all heads"]
        assert calibrated["mrr"] >= max(0.8, plain["mrr"])
        assert plain["mrr"] > rows[kind, "chance"]["mrr"]


def test_the_model_answers_and_cites_in_a_pipeline(
    data: ModuleType, evaluate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = data.make_context(random.Random(4), 6, references=0.0)
    rows = [json.dumps({"_id": f"note-{number}", "text": text}) for number, text in enumerate(context.chunks)]
    (tmp_path / "notes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.chdir(evaluate.MODEL.parent)
    places = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(tmp_path / 'notes.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(tmp_path / 'index'))}",
    ]
    with Pipeline.from_yaml("pipeline.yaml", overrides=places) as pipeline:
        pipeline.ingest()
        answers = pipeline.ask_many([question.text for question in context.questions])
    asked = list(zip(context.questions, answers, strict=True))
    assert {question.kind for question in context.questions} == {"one", "two"}
    assert sum(answer.text.split()[0] == question.answer for question, answer in asked) >= 0.9 * len(asked)
    assert sum(f"note-{question.gold[-1]}" in cited(answer) for question, answer in asked) >= 0.8 * len(asked)


def cited(answer: Answer) -> set[str]:
    return {span.document_id for citation in answer.citations for span in citation.spans}


def test_ranks_of_gold_count_ties_against_it(evaluate: ModuleType) -> None:
    scores = torch.tensor([0.5, 0.9, 0.5, 0.1])
    assert evaluate.ranks(scores, (0,)) == [3]
    assert evaluate.ranks(scores, (0, 1)) == [1, 3]
    assert evaluate.ranks(scores, (0, 2)) == [2, 2]


def test_chance_is_the_mean_over_all_orders(evaluate: ModuleType) -> None:
    assert evaluate.chance(1, chunks=2) == pytest.approx((1 + 1 / 2) / 2)
    assert evaluate.chance(2, chunks=3) == pytest.approx(
        (1 + 1 + 1 / 2) / 3
    )  # the one that is not gold comes 3rd, 2nd, 1st
