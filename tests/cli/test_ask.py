from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli import render
from rag.cli.ask import streamed
from rag.events import Answered, Retracted, Wrote
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.types import Answer, Location

ROOT = Path(__file__).parents[2]
QUESTION = "When do dogs bark?"
ANSWER = "Dogs bark at night. [1]"


def described(section: str) -> set[str]:
    """The top-level fields that docs/json-output.md names in a section's table."""
    page = (ROOT / "docs" / "json-output.md").read_text(encoding="utf-8")
    table = page.split(f"## `{section}`")[1].split("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name.removesuffix("[]") for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_answer_its_place_and_the_quoted_text_are_printed(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("ask", QUESTION)
    lines = done.out.splitlines()
    assert lines[:4] == [ANSWER, "", "[1] docs/dogs.md, line 3", '    "Dogs bark at night."']
    assert re.fullmatch(r"mode: extractive · 1 source · \d+ ms", lines[-1])
    assert (done.code, done.err) == (0, "")


def test_json_has_exactly_the_documented_fields_and_offsets_that_hold(indexed: Path, run: Callable[..., Any]) -> None:
    record = run("ask", QUESTION, "--json").json
    assert set(record) == described("rag ask --json") - {"trace"}
    (citation,) = record["citations"]
    assert record["answer"][citation["start"] : citation["end"]] == ANSWER  # the sentence with its marker
    (source,) = citation["sources"]
    text = (indexed / "docs" / source["document_id"]).read_text(encoding="utf-8")
    assert text[source["start"] : source["end"]] == "Dogs bark at night."
    assert source["location"]["lines"] == [3, 3]
    for evidence in record["evidence"]:
        text = (indexed / "docs" / evidence["document_id"]).read_text(encoding="utf-8")
        assert text[evidence["start"] : evidence["end"]] == evidence["text"]


def test_explain_names_every_stage_in_its_order(indexed: Path, run: Callable[..., Any]) -> None:
    table = run("ask", QUESTION, "--explain").out.split("\nstage ")[1].splitlines()[1:]
    stages = ["retrieve", "retrieve", "fuse", "compress", "generate", "cite", "total"]
    assert [line.split()[0] for line in table] == stages
    trace = run("ask", QUESTION, "--explain", "--json").json["trace"]
    assert [record["stage"] for record in trace] == stages[:-1]
    assert set(trace[0]) == {"stage", "use", "milliseconds", "in", "out", "notes", "rankings"}


def test_a_stream_that_breaks_off_ends_its_line_before_the_error(indexed: Path, run: Callable[..., Any]) -> None:
    with OpenAIStub([Reply(text="Dogs bark at night. [1]", break_after=3)]) as server:
        llm = f"llm={{use: openai, base_url: '{server.base_url}', model: m, retries: 0}}"
        done = run("ask", QUESTION, "--stream", "--set", llm, "--set", "ask.generate={use: llm}")
    assert (done.code, done.out) == (1, "Dogs bark at\n")
    assert done.err.startswith("error: ")


def test_stream_prints_the_same_answer_and_sources(indexed: Path, run: Callable[..., Any]) -> None:
    streamed, whole = run("ask", QUESTION, "--stream").out, run("ask", QUESTION).out
    assert streamed.splitlines()[:-1] == whole.splitlines()[:-1]  # the last line has the time in it


def test_set_overrides_one_value_for_one_run(indexed: Path, run: Callable[..., Any]) -> None:
    assert len(run("ask", QUESTION, "--json").json["evidence"]) == 2
    assert len(run("ask", QUESTION, "--json", "--set", "ask.compress.keep=1").json["evidence"]) == 1


def test_a_filter_keeps_documents_out(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("ask", "When do owls hoot?", "--json", "--filter", 'path = "owls.md"')
    assert {evidence["document_id"] for evidence in done.json["evidence"]} == {"owls.md"}
    wrong = run("ask", QUESTION, "--filter", "path ==")
    assert wrong.code == 1
    assert wrong.err.startswith("error: ")


def test_a_principal_sees_nothing_without_an_access_list(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("ask", QUESTION, "--as", "staff", "--json")
    assert (done.code, done.json["evidence"]) == (3, [])


def test_abstaining_exits_with_3_and_shows_the_nearest_passages(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("ask", "Who won the football cup in 1998?")
    assert done.code == 3
    assert "The sources do not answer this question." in done.out
    assert "abstained: " in done.out


def test_without_an_index_the_message_names_the_command_that_makes_one(folder: Path, run: Callable[..., Any]) -> None:
    done = run("ask", QUESTION)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "rag ingest" in done.err
    assert "Traceback" not in done.err


def test_source_indexes_the_folder_once(folder: Path, run: Callable[..., Any]) -> None:
    first = run("ask", QUESTION, "--source", "docs")
    assert "indexed: 2 added" in first.err  # a slow machine says before how far it is
    assert first.out.startswith(ANSWER)
    assert "indexed" not in run("ask", QUESTION, "--source", "docs").err


def test_a_changed_file_of_the_source_is_read_again(folder: Path, run: Callable[..., Any]) -> None:
    run("ask", QUESTION, "--source", "docs")
    (folder / "docs" / "dogs.md").write_text("# Dogs\n\nDogs bark at noon, they say.\n", encoding="utf-8")
    done = run("ask", QUESTION, "--source", "docs")
    assert "1 updated" in done.err
    assert done.out.startswith("Dogs bark at noon, they say. [1]")


def test_files_that_cannot_be_read_are_named_once_then_counted(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    assert "failed: docs/broken.pdf: " in run("ask", QUESTION, "--source", "docs").err
    again = run("ask", QUESTION, "--source", "docs")
    assert again.err.startswith("1 of the sources could not be read; `rag ingest -s docs` names them")
    assert again.out.startswith(ANSWER)
    named = run(*again.hinted)
    assert (named.code, named.err.startswith("failed: docs/broken.pdf: ")) == (4, True)


@pytest.mark.parametrize("pipeline", ["hybrid", "dense", "sparse"])
def test_a_folder_without_documents_does_not_answer(
    own_directory: Path, run: Callable[..., Any], pipeline: str
) -> None:
    (own_directory / "docs").mkdir()
    done = run("ask", QUESTION, "--source", "docs", "-p", pipeline, "--json")
    assert (done.code, done.json["reason"]) == (3, "no-evidence")
    lines = run("ask", QUESTION, "--source", "docs", "-p", pipeline).out.splitlines()
    assert lines[:2] == ["The sources do not answer this question.", ""]
    assert lines[2].startswith("mode: extractive")


def test_a_source_that_is_not_there_is_an_error(folder: Path, run: Callable[..., Any]) -> None:
    done = run("ask", QUESTION, "--source", "nowhere")
    assert done.code == 1
    assert "--source nowhere: there is no such folder or file" in done.err


@pytest.mark.parametrize("arguments", [("ask",), ("ask", "  "), ("ask", "Why?", "--nonsense")])
def test_a_wrong_command_line_exits_with_2(folder: Path, run: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_events_are_json_lines_that_end_with_the_answer(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("ask", QUESTION, "--json-events")
    lines = [json.loads(line) for line in done.out.splitlines()]
    names = [line["event"] for line in lines]
    assert names == ["retrieved", "compressed", "wrote", "cited", "answered"]
    whole = run("ask", QUESTION, "--json").json
    last = {name: value for name, value in lines[-1].items() if name not in ("event", "milliseconds")}
    assert last == {name: value for name, value in whole.items() if name != "milliseconds"}
    assert lines[3]["citation"] == whole["citations"][0]
    assert lines[1]["evidence"] == whole["evidence"]


def test_empty_lines_that_a_model_ends_on_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Dogs bark.\n\nCats meow.\n\n\n"
    pieces = ("Dogs bark.", "\n", "\nCats meow.", "\n\n", "\n")
    streamed(iter([*(Wrote(0, piece) for piece in pieces), Answered(0, Answer(query="?", text=text))]))
    assert capsys.readouterr().out == "Dogs bark.\n\nCats meow.\n"
    whole = render.answer(Answer(query="?", text=text), locate=lambda _: Location())
    assert whole.splitlines()[:-1] == ["Dogs bark.", "", "Cats meow.", ""]


def test_what_may_be_taken_back_is_printed_when_it_stays(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        *(Wrote(0, "Dogs bark. "), Wrote(0, "Cats fly.", provisional=True), Retracted(0, 11)),
        *(Wrote(0, "Cats meow.", provisional=True), Answered(0, Answer(query="?", text="Dogs bark. Cats meow."))),
    ]
    assert streamed(iter(events)).text == capsys.readouterr().out.rstrip("\n") == "Dogs bark. Cats meow."


def test_a_document_cannot_command_the_terminal(indexed: Path, run: Callable[..., Any]) -> None:
    hostile = "# Dogs\n\nDogs bark at night \x1b[2K\x1b]0;owned\x07\u202ereversed. They sleep.\n"
    (indexed / "docs" / "dogs.md").write_text(hostile, encoding="utf-8")
    run("ingest")
    for command in (("ask", QUESTION), ("ask", QUESTION, "--stream"), ("search", QUESTION), ("inspect", "dogs.md")):
        printed = run(*command).out
        assert "Dogs bark at night" in printed
        assert not set("\x1b\x07\u202e") & set(printed)


def test_a_schema_gives_json_that_fits_it_and_where_its_values_stand(indexed: Path, run: Callable[..., Any]) -> None:
    schema = {"type": "object", "properties": {"when": {"type": "string"}}, "required": ["when"]}
    (indexed / "when.json").write_text(json.dumps(schema), encoding="utf-8")
    with OpenAIStub([Reply(text='{"found": true, "data": {"when": "at night"}}')]) as stub:
        llm = f"llm={{use: openai, base_url: '{stub.base_url}', model: stub}}"
        done = run("ask", QUESTION, "--schema", "when.json", "--json", "--set", llm, "--set", "ask.generate={use: llm}")
    assert done.json["data"] == {"when": "at night"}
    (field,) = done.json["fields"]
    assert (field["path"], field["quoted"]) == ("when", True)
    (source,) = field["sources"]
    text = (indexed / "docs" / source["document_id"]).read_text(encoding="utf-8")
    assert text[source["start"] : source["end"]] == "at night"


def test_a_schema_is_refused_where_it_cannot_be_kept(indexed: Path, run: Callable[..., Any]) -> None:
    (indexed / "list.json").write_text("[]", encoding="utf-8")
    (indexed / "any.json").write_text("{}", encoding="utf-8")
    for name, said in (
        ("list.json", "expected a JSON object"),
        ("any.json", "quotes sentences"),
        ("no.json", "no.json"),
    ):
        done = run("ask", QUESTION, "--schema", name)
        assert (done.code, done.out) == (1, "")
        assert said in done.err
    assert run("ask", QUESTION, "--schema", "any.json", "--stream").code == 2


@pytest.mark.parametrize("command", [["ask", "dogs"], ["search", "dogs"], ["chat"], ["inspect"], ["explain", "dogs"]])
def test_without_an_index_the_hint_makes_the_one_that_was_asked(
    folder: Path, run: Callable[..., Any], command: list[str]
) -> None:
    (folder / "pipeline.yaml").rename(folder / "mine.yaml")
    options = ["-p", "mine.yaml", "--set", "ingest.index.path=my index"]
    refused = run(*command, *options)
    assert refused.code == 1
    assert refused.hinted == ["ingest", *options]
    assert run(*refused.hinted).code == 0
    assert run(*command, *options).code == 0
