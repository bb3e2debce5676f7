from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag.cli import main
from rag.testing.openai_stub import OpenAIStub, Reply

HASH = ("--set", "ingest.embed={use: hash, dimension: 64}")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Rag = Callable[..., Done]


@pytest.fixture
def rag_eval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rag:
    """``rag_eval("hybrid", folder)`` is ``rag eval hybrid folder`` with hashed vectors."""

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["rag", "eval", *map(str, arguments), *HASH])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, printed.out, printed.err)

    return command


def test_the_table_has_a_row_a_metric_and_a_column_a_pipeline(rag_eval: Rag, beir: Path) -> None:
    done = rag_eval("hybrid", beir, "--vary", "rrf:ask.fuse.use=rrf", "-k", "1,3", "--metrics", "ndcg,map@all")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "small: 3 questions (2 judged, 1 unanswerable)"
    assert lines[2].split() == ["hybrid", "rrf"]
    assert [line.split()[0] for line in lines[3:6]] == ["nDCG@1", "nDCG@3", "MAP"]
    assert "against hybrid" in done.out
    assert "note: queries left out because nothing is judged for them: 1" in done.out
    assert "indexed: 4 added" in done.err


def test_without_a_pipeline_the_default_one_is_measured(rag_eval: Rag, beir: Path) -> None:
    assert rag_eval(beir).out.splitlines()[2].split() == ["hybrid"]


def test_json_and_the_two_files_hold_the_same_report(rag_eval: Rag, beir: Path, tmp_path: Path) -> None:
    done = rag_eval(beir, "--json", "--out", tmp_path / "new" / "report.json")
    printed = json.loads(done.out)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == printed
    assert printed["version"] == 1
    assert printed["systems"][0]["results"]["nDCG@10"]["values"].keys() == {"q1", "q2"}
    done = rag_eval(beir, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "nDCG@10" in page
    assert "wrote " in done.err


def test_a_sample_or_named_questions_are_asked_alone(rag_eval: Rag, beir: Path, tmp_path: Path) -> None:
    assert len(json.loads(rag_eval(beir, "--json", "--limit", 2).out)["questions"]) == 2
    (tmp_path / "ids.txt").write_text("q2\n\n")
    for wanted in ("q2", tmp_path / "ids.txt"):
        asked = json.loads(rag_eval(beir, "--json", "--queries", wanted).out)["questions"]
        assert [question["id"] for question in asked] == ["q2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere/",), 1, "there is no such folder or file"),
        (("-k", "0"), 2, "expected whole numbers above 0"),
        (("--metrics", "ndgc"), 1, "did you mean 'ndcg'"),
        (("--vary", "rrf"), 1, "expected NAME:path=value"),
        (("--out", "report.pdf"), 2, "ends in .html or .json"),
        (("--queries", "q9"), 1, "there is no question 'q9'"),
        (("--judge",), 1, "--judge: the first pipeline has no language model"),
        (("--prices", "nowhere.yaml"), 1, "nowhere.yaml: it cannot be read"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(
    rag_eval: Rag, beir: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = rag_eval(*arguments) if arguments[0] == "nowhere/" else rag_eval(beir, *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err.replace("\n", " ")


def test_a_pipeline_without_a_set_of_questions_is_asked_for_one(rag_eval: Rag) -> None:
    for pipeline in ("hybrid", "my/pipeline.yaml"):
        done = rag_eval(pipeline)
        assert done.code == 2
        assert f"{pipeline} is a pipeline; the set of questions is missing" in done.err


def test_no_ingest_takes_the_index_as_it_is(rag_eval: Rag, beir: Path, tmp_path: Path) -> None:
    index = ("--index", tmp_path / "index")
    assert rag_eval(beir, "--no-ingest", *index).code == 1
    assert rag_eval(beir, *index).code == 0
    done = rag_eval(beir, "--no-ingest", *index, "--json")
    assert json.loads(done.out)["systems"][0]["cost"]["ingest"] is None


def test_a_judge_is_the_first_pipelines_language_model_and_its_failures_are_told(rag_eval: Rag, beir: Path) -> None:
    with OpenAIStub([Reply(text="that is no JSON")] * 50) as server:
        llm = f"llm={{use: openai, base_url: '{server.base_url}', model: m, retries: 0}}"
        done = rag_eval(beir, "--judge", "--set", llm, "--json")
    report = json.loads(done.out)
    results = report["systems"][0]["results"]
    assert results["Faithfulness"]["mean"] is None
    assert results["Faithfulness"]["failed"] > 0
    assert results["EM"]["mean"] is not None
    assert report["environment"]["judge"] == "m"
    assert any(note.startswith("the judge failed on") for note in report["notes"])


def test_judged_metrics_can_be_chosen_and_need_a_judge(rag_eval: Rag, beir: Path) -> None:
    done = rag_eval(beir, "--metrics", "faithfulness")
    assert (done.code, "Faithfulness needs a judge" in done.err) == (1, True)
    with OpenAIStub([Reply(text='{"claims": []}')] * 9) as server:
        llm = f"llm={{use: openai, base_url: '{server.base_url}', model: m, retries: 0}}"
        done = rag_eval(beir, "--judge", "--metrics", "faithfulness,ndcg", "--set", llm, "--json")
    assert [metric["name"] for metric in json.loads(done.out)["metrics"]] == ["nDCG@10", "Faithfulness"]
    assert 1 <= len(server.requests) <= 3  # the claims of each answer, none of an abstention
