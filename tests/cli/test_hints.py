from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli.hints import options_given, with_options


def test_secrets_are_not_repeated() -> None:
    given = options_given(
        overrides=["llm.api_key=hunter2", "llm.base_url=http://me:hunter2@host/v1", "ask.fuse.keep=3"]
    )
    assert given == "--set 'llm.api_key=***' --set 'llm.base_url=http://me:***@host/v1' --set ask.fuse.keep=3"


def test_only_commands_that_work_on_an_index_get_the_options() -> None:
    hint = "`rag ingest --force`, or train it again with `rag train`; `rag heads detect` makes it"
    assert with_options(hint, "-p a.yaml") == hint.replace("rag ingest", "rag ingest -p a.yaml")
    assert with_options(hint, "") == hint


@pytest.mark.parametrize("more", [[], ["--index", "other"]])
def test_eval_without_an_index_names_the_command_that_makes_the_one_it_asks(
    folder: Path, run: Callable[..., Any], more: list[str]
) -> None:
    (folder / "pipeline.yaml").rename(folder / "mine.yaml")
    (folder / "questions.jsonl").write_text('{"question": "Do dogs bark?", "documents": ["dogs.md"]}\n', "utf-8")
    command = ["eval", "mine.yaml", "questions.jsonl", "--set", "ask.fuse.keep=5", *more]
    refused = run(*command)
    assert refused.code == 1
    index = ["--set", "ingest.index.path=other"] if more else []
    assert refused.hinted == ["ingest", "-p", "mine.yaml", "--set", "ask.fuse.keep=5", *index]
    assert run(*refused.hinted).code == 0
    assert run(*command).code == 0


def test_eval_of_a_set_with_documents_says_what_makes_its_index(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "set").mkdir()
    (folder / "set" / "corpus.jsonl").write_text('{"_id": "a", "text": "Dogs bark."}\n', "utf-8")
    (folder / "set" / "queries.jsonl").write_text('{"_id": "q", "text": "Do dogs bark?"}\n', "utf-8")
    (folder / "set" / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n", "utf-8")
    refused = run("eval", "set", "--no-ingest")
    assert refused.code == 1
    assert "hint: leave --no-ingest out, and it is made of the set's documents" in refused.err
