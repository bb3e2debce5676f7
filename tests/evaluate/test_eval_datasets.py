from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.errors import ConfigError
from rag.evaluate.datasets import Question, Quote, gold_spans, load_dataset
from rag.types import Document, Span


def test_a_beir_folder_gives_judged_and_unanswerable_queries_and_leaves_the_others_out(beir: Path) -> None:
    found = load_dataset(beir)
    assert {question.id: question.kind for question in found.questions} == {
        "q1": "judged",
        "q2": "judged",
        "q3": "unanswerable",
    }
    assert found.questions[0].relevant == {"dogs": 2, "owls": 1}
    assert found.questions[2].answers == ()  # what is no answer is no reference either
    assert found.corpus == beir / "corpus.jsonl"
    assert found.notes == ("queries left out because nothing is judged for them: 1",)


def test_the_null_queries_of_multihop_rag_are_unanswerable(beir: Path) -> None:
    row = {"_id": "n", "text": "?", "metadata": {"type": "null_query", "answers": ["Insufficient information."]}}
    with (beir / "queries.jsonl").open("a") as file:
        file.write(json.dumps(row))
    question = load_dataset(beir).questions[-1]
    assert (question.kind, question.answers) == ("unanswerable", ())


def test_of_several_splits_the_test_split_is_read_unless_another_is_named(beir: Path) -> None:
    (beir / "qrels").mkdir()
    (beir / "qrels.tsv").rename(beir / "qrels" / "test.tsv")
    (beir / "qrels" / "dev.tsv").write_text("q4\towls\t1\n")
    relevant = {question.id: dict(question.relevant) for question in load_dataset(beir).questions}
    assert relevant["q2"] == {"vasa": 1}
    assert load_dataset(beir, split="dev").questions[-1].relevant == {"owls": 1}
    with pytest.raises(ConfigError, match="splits: dev, test"):
        load_dataset(beir, split="train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\tdogs", "expected 3 or 4 columns, found 2"),
        ("q1\tdogs\t1.5", "expected a whole number, found '1.5'"),
        ("q1\tdogs\tnan", "expected a whole number, found 'nan'"),
        ("q1\tdogs\t1", "judged twice, differently"),
    ],
)
def test_a_broken_line_of_qrels_is_named_by_its_number(beir: Path, line: str, message: str) -> None:
    with (beir / "qrels.tsv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigError, match=message) as raised:
        load_dataset(beir)
    assert raised.value.where.endswith("qrels.tsv:5")


def test_qrels_in_trec_format_are_read_too(beir: Path) -> None:
    (beir / "qrels.tsv").write_text("q1 0 dogs 2\nq2 0 vasa 1\n")
    assert load_dataset(beir).questions[0].relevant == {"dogs": 2}


def test_a_judgement_of_a_query_that_is_not_there_is_an_error(beir: Path) -> None:
    (beir / "qrels.tsv").write_text("q9\tdogs\t1\n")
    with pytest.raises(ConfigError, match="judges the query 'q9'"):
        load_dataset(beir)


def test_documents_that_do_not_count_are_read_from_the_query_or_known_by_the_set(beir: Path, tmp_path: Path) -> None:
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "?", "metadata": {"excluded_ids": ["owls"]}}\n')
    (beir / "qrels.tsv").write_text("q1\tdogs\t1\n")
    assert load_dataset(beir).questions[0].excluded == {"owls"}
    assert load_dataset(beir.rename(tmp_path / "ArguAna")).questions[0].excluded == {"owls", "q1"}


def test_a_missing_or_broken_file_is_named(beir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder or file"):
        load_dataset(tmp_path / "nothing")
    (beir / "queries.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": ')
    with pytest.raises(ConfigError, match="not valid JSON") as raised:
        load_dataset(beir)
    assert raised.value.where.endswith("queries.jsonl:2")
    (beir / "corpus.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"corpus\.jsonl: there is no such file"):
        load_dataset(beir)


def test_a_set_without_judgements_questions_or_documents_says_which_file_lacks_them(beir: Path) -> None:
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "Who?"}\n')
    (beir / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t0\n")
    with pytest.raises(ConfigError, match=r"qrels\.tsv: it judges no document relevant, and no query of .*queries"):
        load_dataset(beir)
    (beir / "qrels.tsv").unlink()
    with pytest.raises(ConfigError, match=r"neither qrels\.tsv nor a folder qrels, and no query of .*queries\.jsonl"):
        load_dataset(beir)
    (beir / "corpus.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"corpus\.jsonl: there is no document in it"):
        load_dataset(beir)
    (beir / "queries.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match=r"queries\.jsonl: there is no query in it"):
        load_dataset(beir)


def test_a_file_of_questions_has_answers_documents_and_spans(write: Callable[..., Path]) -> None:
    path = write(
        "mine.jsonl",
        [
            {"question": "Who?", "answer": "Ann", "documents": ["a.md"]},
            {"id": "x", "query": "When?", "answers": ["1", "one"], "documents": {"a.md": 2, "b.md": 0}},
            {"question": "Where?", "spans": [{"document": "a.md", "text": "here"}]},
            {"question": "Is there?", "answerable": False},
            {"question": "What does it cost?"},
        ],
    )
    found = load_dataset(path)
    assert [question.id for question in found.questions] == ["1", "x", "3", "4", "5"]
    assert [question.kind for question in found.questions] == ["judged"] * 3 + ["unanswerable", "unjudged"]
    assert found.questions[1].documents == {"a.md"}
    assert found.questions[2].documents == {"a.md"}  # where the span stands is relevant
    assert found.corpus is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "Ann"}, "no field 'question'"),
        ({"question": "?", "answers": [1]}, "answers: expected a text or a list of texts"),
        ({"question": "?", "documents": {"a": True}}, "expected whole numbers as grades"),
        ({"question": "?", "spans": [{"document": "a", "start": 1}]}, "expected a text, or start and end"),
        ({"question": "?", "answerable": "no"}, "expected true or false"),
        ({"question": " "}, "the question is empty"),
        ({"question": "?", "anwsers": ["Ann"]}, "unknown field 'anwsers'; did you mean 'answers'"),
        ({"question": "?", "document": "a.md"}, "unknown field 'document'; did you mean 'documents'"),
    ],
)
def test_a_question_that_is_written_wrong_is_named_by_its_line(
    write: Callable[..., Path], row: dict[str, object], message: str
) -> None:
    path = write("mine.jsonl", [{"question": "Fine?"}, row])
    with pytest.raises(ConfigError, match=message) as raised:
        load_dataset(path)
    assert raised.value.where == f"{path}:2"


def test_a_file_of_questions_may_say_more_of_them(write: Callable[..., Path]) -> None:
    row = {"question": "?", "context": "here", "question_type": "bridge", "ids": [1], "answer": "x"}
    [question] = load_dataset(write("mine.jsonl", [row])).questions
    assert question.answers == ("x",)


def test_a_quote_is_found_by_its_text_nearest_to_where_it_is_said_to_stand() -> None:
    document = Document(id="a", text="Title\nTen cats. Ten cats. Ten cats.")
    assert Quote(document="a", text="Ten cats.", start=10).find(document) == Span("a", 6, 15)
    assert Quote(document="a", text="Ten cats.", start=19).find(document) == Span("a", 16, 25)
    assert Quote(document="a", text="Ten dogs.", start=0).find(document) is None
    assert Quote(document="a", start=6, end=9).find(document) == Span("a", 6, 9)
    assert Quote(document="a", start=6, end=99).find(document) is None


def test_a_quote_that_the_index_does_not_have_is_an_error_with_the_question() -> None:
    documents = {"a": Document(id="a", text="cats")}
    for quote, message in (
        (Quote(document="b", text="cats"), "the document 'b' is not in the pipeline's index"),
        (Quote(document="a", text="dogs"), "'dogs' does not stand in the document 'a'"),
    ):
        with pytest.raises(ConfigError, match=message) as raised:
            gold_spans(Question(id="q", text="?", quotes=(quote,), where="mine.jsonl:7"), documents.__getitem__)
        assert raised.value.where == "mine.jsonl:7"


def test_a_sample_repeats_with_its_seed_and_keeps_the_order(write: Callable[..., Path]) -> None:
    found = load_dataset(write("many.jsonl", [{"question": f"{at}?", "answer": "x"} for at in range(50)]))
    ids = [int(question.id) for question in found.sample(10, seed=1).questions]
    assert ids == sorted(ids)
    assert ids == [int(question.id) for question in found.sample(10, seed=1).questions]
    assert ids != [int(question.id) for question in found.sample(10, seed=2).questions]
    assert found.sample(50, seed=1) is found


def test_only_takes_questions_by_id_and_names_one_that_is_not_there(write: Callable[..., Path]) -> None:
    found = load_dataset(write("many.jsonl", [{"question": f"{at}?", "answer": "x"} for at in range(5)]))
    assert [question.id for question in found.only(["4", "2"]).questions] == ["2", "4"]
    with pytest.raises(ConfigError, match="no question '9'"):
        found.only(["2", "9"])


def test_a_set_of_ir_datasets_is_read_from_what_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ir_datasets = pytest.importorskip("ir_datasets")
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    (tmp_path / "docs.tsv").write_text("d1\tDogs bark.\nd2\tOwls hoot.\n")
    (tmp_path / "queries.tsv").write_text("q1\tDo dogs bark?\nq2\tUnjudged\n")
    (tmp_path / "qrels").write_text("q1 0 d1 1\nq1 0 d2 0\n")
    registered = ir_datasets.create_dataset(
        docs_tsv=str(tmp_path / "docs.tsv"),
        queries_tsv=str(tmp_path / "queries.tsv"),
        qrels_trec=str(tmp_path / "qrels"),
    )
    monkeypatch.setitem(ir_datasets.registry._registered, "tiny/test", registered)
    with pytest.raises(ConfigError, match="its data are not in"):
        load_dataset("tiny/test", cache=tmp_path / "cache")
    (tmp_path / "home" / "tiny").mkdir(parents=True)
    found = load_dataset("tiny/test", cache=tmp_path / "cache")
    assert [(question.id, question.documents) for question in found.questions] == [("q1", frozenset({"d1"}))]
    assert found.notes == ("queries left out because no document is relevant to them: 1",)
    assert found.corpus is not None
    rows = [json.loads(line) for line in found.corpus.read_text().splitlines()]
    assert rows == [
        {"_id": "d1", "title": "", "text": "Dogs bark."},
        {"_id": "d2", "title": "", "text": "Owls hoot."},
    ]
    with pytest.raises(ConfigError, match="no such id in ir_datasets"):
        load_dataset("no-such/set")
