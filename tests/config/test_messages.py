from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Literal

import pytest

from rag import registry
from rag.config.problems import InvalidConfigError, Path
from rag.config.view import Conflict, View
from rag.pipeline.spec import PipelineSpec
from rag.retrieve.specs import FuserSpec


def problems(text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(InvalidConfigError) as raised:
        PipelineSpec.from_yaml(textwrap.dedent(text), environ=environ or {})
    return str(raised.value)


def heads(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The first line of each problem."""
    return [line for line in problems(text, environ).split("\n") if " | " not in line]


def test_every_problem_of_a_file_is_reported_at_once_with_its_line_and_a_caret() -> None:
    text = """\
    ask:
      fuse:
        use: rrf
        keep: 0
        constnat: 60
      rerank:
        - use: mrm
        - use: mmr
          keep: many
    """
    expected = """\
    <text>:4:11: ask.fuse.keep: expected at least 1, got 0
        4 |     keep: 0
          |           ^
    <text>:5:5: ask.fuse.constnat: unknown key; did you mean `constant`?
        5 |     constnat: 60
          |     ^
    <text>:7:12: ask.rerank.0.use: unknown reranker 'mrm'; did you mean 'mmr'? (known: RERANKERS)
        7 |     - use: mrm
          |            ^
    <text>:9:13: ask.rerank.1.keep: expected a whole number, got 'many'
        9 |       keep: many
          |             ^"""
    known = ", ".join(sorted(registry.names("rerank")))
    assert problems(text) == textwrap.dedent(expected).replace("RERANKERS", known)


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("version: 2", "<text>:1:10: version: expected 1, got 2"),
        ("ak: {}", "<text>:1:1: ak: unknown key; did you mean `ask`?"),
        ("extend: hybrid", "<text>:1:1: extend: unknown key; did you mean `extends`?"),
        ("load: []", "<text>:1:1: load: unknown key; did you mean `ingest.load`?"),
        ("ask: {llm: {}}", "<text>:1:7: ask.llm: unknown key; did you mean `llm` at the top?"),
        ("ask: {fuse: {rerank: []}}", "<text>:1:14: ask.fuse.rerank: unknown key; did you mean `ask.rerank`?"),
        ("ingest: {path: a}", "<text>:1:10: ingest.path: unknown key; did you mean `ingest.index.path`?"),
        ('"": 1', "<text>:1:1: '': unknown key (known: version, llm, ingest, ask, extends, presets)"),
        ("zzz: 1", "<text>:1:1: zzz: unknown key (known: version, llm, ingest, ask, extends, presets)"),
        ("ask: 3", "<text>:1:6: ask: expected a mapping, got 3"),
        ("ask:", "<text>:1:5: ask: expected a mapping, got nothing"),
        ("ask: {fuse: rrf}", "<text>:1:13: ask.fuse: expected a mapping with `use`: {use: rrf}"),
        ("ask: {fuse: on}", "<text>:1:13: ask.fuse: expected a mapping with `use`"),
        ("ask: {rerank: {use: mmr}}", "<text>:1:15: ask.rerank: expected a list, got a mapping"),
        (
            "ask: {rerank: [{keep: 3}]}",
            "<text>:1:16: ask.rerank.0: `use` is missing; it names the reranker (known: ",
        ),
        ("ask: {rerank: [mmr]}", "<text>:1:16: ask.rerank.0: expected a mapping with `use`: {use: mmr}"),
        ("ask: {transform: [{use: x}]}", "<text>:1:25: ask.transform.0.use: unknown query transform 'x' "),
        (
            "ask: {compress: {use: 5}}",
            "<text>:1:23: ask.compress.use: `use` is 5; it names the compressor (known: ",
        ),
        ("ask: {retrieve: []}", "<text>:1:17: ask.retrieve: expected at least 1 item, got 0 items"),
        (
            "ask: {fuse: {over: lists}}",
            "<text>:1:20: ask.fuse.over: expected 'collection' or 'list', got 'lists'; did you mean 'list'?",
        ),
        ("ask: {fuse: {weights: [1, x]}}", "<text>:1:27: ask.fuse.weights.1: expected a number, got 'x'"),
        ("ask: {fuse: {weights: [1, .inf]}}", "<text>:1:27: ask.fuse.weights.1: expected a finite number, got inf"),
        ("ask: {fuse: {keep: 1.5}}", "<text>:1:20: ask.fuse.keep: expected a whole number, got 1.5"),
        ("ingest: {embed: {model: 5}}", "<text>:1:25: ingest.embed.model: expected text, got 5"),
        (
            "ingest: {embed: {allow_download: maybe}}",
            "<text>:1:34: ingest.embed.allow_download: expected true or false, got 'maybe'",
        ),
        (
            "ingest: {embed: {use: sentence-transformers}}",
            "<text>:1:10: ingest.embed.model: is missing",
        ),
        (
            "ingest: {chunk: {overlap: 500}}",
            "<text>:1:10: ingest.chunk: overlap must be less than the size, 200, got 500",
        ),
        ("ingest: {index: {dense: {use: hnws}}}", "<text>:1:31: ingest.index.dense.use: unknown dense index 'hnws'; "),
        ("ingest: {index: {dense: {use: hnsw, n: 3}}}", "<text>:1:37: ingest.index.dense.n: unknown key"),
        (
            "ingest: {parse: {memory_mb: 64}}",
            "<text>:1:18: ingest.parse.memory_mb: unknown key; did you mean `memory_mib`?",
        ),
        ("ask: {generate: {threshold: 2}}", "<text>:1:29: ask.generate.threshold: expected at most 1.0, got 2"),
    ],
)
def test_a_problem_is_said_in_our_words_at_its_place(text: str, head: str) -> None:
    (found,) = heads(text)
    assert found.startswith(head)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ingest: {chunk: {tokens: 255}}",
            ["<text>:1:26: ingest.chunk.tokens: expected at most 254, the window of the embedder, got 255"],
        ),
        (
            "ingest: {index: {dense: null}}",
            ["<text>:1:25: ingest.index.dense: is null, but ask.retrieve.0 (dense) needs it"],
        ),
        (
            "ingest: {index: {sparse: null}}",
            ["<text>:1:26: ingest.index.sparse: is null, but ask.retrieve.1 (sparse) needs it"],
        ),
        (
            "ingest: {index: {dense: null}}\nask: {retrieve: [{use: sparse}], rerank: [{use: mmr}]}",
            ["<text>:1:25: ingest.index.dense: is null, but ask.rerank.0 (mmr) needs it"],
        ),
        (
            "ask: {fuse: {use: single}}",
            ["<text>:1:19: ask.fuse.use: 'single' takes one retriever, ask.retrieve has 2"],
        ),
        (
            "ask: {fuse: {use: rrf, weights: [1]}}",
            ["<text>:1:33: ask.fuse.weights: expected one weight for each of 2 retrievers, got 1"],
        ),
    ],
)
def test_stages_that_do_not_fit_together_are_reported_without_loading_a_model(text: str, expected: list[str]) -> None:
    assert heads(text) == expected


def test_a_problem_in_a_variable_of_the_environment_names_the_variable() -> None:
    assert problems("version: 1", {"RAG__ASK__FUSE__KEEP": "many"}) == (
        "$RAG__ASK__FUSE__KEEP: ask.fuse.keep: expected a whole number, got 'many'"
    )


def test_an_unset_variable_is_one_problem_among_the_others() -> None:
    assert heads("ask: {fuse: {keep: '${GONE}'}, compress: {keep: 0}}") == [
        "<text>:1:20: ask.fuse.keep: the environment variable GONE is not set; set it, or write ${GONE:-default}",
        "<text>:1:49: ask.compress.keep: expected at least 1, got 0",
    ]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("llm: {use: openai, base_url: 'http://x/v1', model: m, api_key: hunter2}", {}),
        ("llm: {use: openai, base_url: 'ftp://me:hunter2@x/v1', model: m}", {}),
        ("ask: {fuse: {keep: '${MY_TOKEN}'}}", {"MY_TOKEN": "hunter2"}),
        ("version: 1", {"RAG__ASK__GENERATE__API_KEY": "hunter2"}),
    ],
)
def test_no_problem_shows_a_secret(text: str, environ: Mapping[str, str]) -> None:
    assert "hunter2" not in problems(text, environ)


def test_a_literal_key_is_answered_with_how_to_name_it() -> None:
    text = "llm: {use: openai, base_url: 'http://x/v1', model: m, api_key: hunter2}"
    assert heads(text) == ["<text>:1:55: llm.api_key: unknown key; did you mean `api_key_env`?"]


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (
            'ask: {fuse: {keep: "5"}}',
            "<text>:1:20: ask.fuse.keep: expected a whole number, got the text '5'; leave out the quotes",
        ),
        ("ask: {fuse: {keep: true}}", "<text>:1:20: ask.fuse.keep: expected a whole number, got true"),
        (
            "ask: {fuse: {weights: [1, '.5']}}",
            "<text>:1:27: ask.fuse.weights.1: expected a number, got the text '.5'; leave out the quotes",
        ),
        ("version: '1'", "<text>:1:10: version: expected 1, got '1'"),
    ],
)
def test_text_and_truth_values_are_no_numbers(text: str, head: str) -> None:
    assert heads(text) == [head]


@pytest.mark.parametrize(
    "text",
    [
        "ask: {fuse: {keep: '${K}'}}",  # between braces, a variable has to stand in quotes
        "ask: {fuse: {keep: 5.0}}",
        "ask: {fuse: {weights: [1, 2]}}",
        "ingest: {embed: {allow_download: on}}",
    ],
)
def test_what_yaml_users_write_for_numbers_and_truth_values_is_taken(text: str) -> None:
    PipelineSpec.from_yaml(text, environ={"K": "5"})


def test_stages_that_do_not_fit_are_reported_along_with_values_that_are_wrong() -> None:
    text = """\
    ingest: {index: {dense: null}}
    ask:
      fuse: {keep: 0}
      rerank: [{use: order}, {use: dedupe}]
    """
    assert heads(text) == [
        "<text>:1:25: ingest.index.dense: is null, but ask.retrieve.0 (dense) needs it",
        "<text>:3:16: ask.fuse.keep: expected at least 1, got 0",
        "<text>:4:18: ask.rerank.0.use: 'order' must be the last of ask.rerank: what follows undoes it",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "ask: {rerank: [{use: order, keep: 20}], compress: {use: none, keep: x}}",  # 8, the default, would be too few
        "ask: {fuse: {use: single}, retrieve: [{use: sparse, k: 0}]}",  # 2, the default, would be too many
        "llm: {use: opnai}\nask: {generate: {use: llm}}",
        "llm: {use: transformers, model: '${GONE}'}\ningest: {chunk: {tokens: '300'}}",
    ],
)
def test_a_rule_says_nothing_about_a_part_that_is_itself_wrong(text: str) -> None:
    wrong = ("compress.keep", "retrieve.0.k", "llm.use", "llm.model", "chunk.tokens")
    assert all(any(part in head for part in wrong) and "expected at most 254" not in head for head in heads(text))


class PickySpec(FuserSpec):
    """A plug-in that minds what stands around it."""

    use: Literal["picky"] = "picky"
    least: int = 3
    """How many rerankers it wants."""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        found = len(pipeline.specs("ask.rerank"))
        if found < self.least:
            yield (*path, "least"), f"wants {self.least} rerankers, ask.rerank has {found}"


def test_a_component_of_another_package_brings_rules_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    registry.register("fuse", PickySpec)
    assert heads("ask: {fuse: {use: picky, least: 1}}") == [
        "<text>:1:33: ask.fuse.least: wants 1 rerankers, ask.rerank has 0"
    ]


def test_a_prompt_that_is_not_there_is_named_where_it_stands() -> None:
    text = """\
    llm: {use: openai, base_url: "http://127.0.0.1:9/v1", model: m}
    ask:
      transform:
        - {use: gencrf, group_prompt: gencrf-gruop}
      compress: {use: sentences}
      generate: {use: llm, prompt: anwser}
    """
    first, second = heads(text)
    where = "<text>:4:35: ask.transform.0.group_prompt: unknown prompt 'gencrf-gruop'; did you mean 'gencrf-group'? ("
    assert first.startswith(where)
    assert second.startswith("<text>:6:32: ask.generate.prompt: unknown prompt 'anwser'; did you mean 'answer'? (")


def test_a_store_whose_package_is_not_installed_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.config.weights.missing_package", lambda package, extra: f"needs {package}, in {extra}")
    (line,) = heads("ingest: {index: {dense: {use: chroma}}}")
    assert line == "<text>:1:31: ingest.index.dense.use: needs chromadb, in chroma"
