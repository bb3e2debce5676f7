from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rag.config.problems import InvalidConfigError
from rag.errors import ConfigError, UnknownNameError
from rag.pipeline.spec import Loaded, load_spec


def write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def load(source: str = "p.yaml", *, environ: Mapping[str, str] | None = None, overrides: Sequence[str] = ()) -> Loaded:
    return load_spec(source, environ=environ or {}, overrides=overrides)


def fuse(loaded: Loaded) -> dict[str, object]:
    return loaded.spec.ask.fuse.model_dump(exclude={"weights"})


def test_each_layer_is_over_the_one_before_and_every_value_keeps_its_origin() -> None:
    write(
        {
            "base.yaml": "ask:\n  fuse: {use: rrf, keep: 1, constant: 1}\n  compress: {keep: 1}\n",
            "configs/mine.yaml": "ask:\n  fuse:\n    keep: 2\n    constant: 2\n",
            "p.yaml": "extends: ./base.yaml\npresets: [mine]\nask:\n  fuse: {keep: 3}\n  compress: {keep: 3}\n",
        }
    )
    loaded = load(
        environ={"RAG__ASK__COMPRESS__KEEP": "4", "HOME": "/"},
        overrides=["ask.compress.keep=5", "ingest.chunk.tokens=6"],
    )
    assert fuse(loaded) == {"use": "rrf", "keep": 3, "constant": 2}
    assert loaded.spec.ask.compress.model_dump() == {"use": "none", "keep": 5}
    origins = {path: str(origin) for path, origin in loaded.origins.items()}
    assert origins["ask.fuse.use"] == "base.yaml:2"
    assert origins["ask.fuse.keep"] == "p.yaml:4"
    assert origins["ask.fuse.constant"] == "configs/mine.yaml:4"
    assert origins["ask.compress.use"] == "default"
    assert origins["ask.compress.keep"] == "--set ask.compress.keep=5"
    assert origins["ingest.chunk.tokens"] == "--set ingest.chunk.tokens=6"
    assert loaded.files == ("base.yaml", "configs/mine.yaml", "p.yaml")


def test_the_environment_is_over_the_file_and_under_the_flags() -> None:
    write({"p.yaml": "ask: {fuse: {keep: 3}}"})
    environ = {"RAG__ASK__FUSE__KEEP": "4"}
    loaded = load(environ=environ)
    assert fuse(loaded)["keep"] == 4
    assert str(loaded.origins["ask.fuse.keep"]) == "$RAG__ASK__FUSE__KEEP"
    assert fuse(load(environ=environ, overrides=["ask.fuse.keep=5"]))["keep"] == 5


def test_another_use_drops_the_options_of_the_lower_layer() -> None:
    write(
        {
            "base.yaml": "ask: {fuse: {use: rrf, constant: 7, keep: 9}}",
            "p.yaml": "extends: ./base.yaml\nask: {fuse: {use: weighted}}",
        }
    )
    assert fuse(load()) == {"use": "weighted", "keep": 20}


def test_the_same_use_keeps_them() -> None:
    write(
        {
            "base.yaml": "ask: {fuse: {use: rrf, constant: 7}}",
            "p.yaml": "extends: ./base.yaml\nask: {fuse: {use: rrf, keep: 2}}",
        }
    )
    assert fuse(load()) == {"use": "rrf", "constant": 7, "keep": 2}


def test_options_of_a_default_component_are_dropped_when_another_is_used() -> None:
    write({"base.yaml": "ask: {fuse: {over: list}}", "p.yaml": "extends: ./base.yaml\nask: {fuse: {use: rrf}}"})
    assert fuse(load()) == {"use": "rrf", "keep": 20, "constant": 60}


def test_lists_replace() -> None:
    write(
        {
            "base.yaml": "ask: {retrieve: [{use: dense, k: 5}, {use: sparse, k: 5}]}",
            "p.yaml": "extends: ./base.yaml\nask: {retrieve: [{use: sparse}], fuse: {use: single}}",
        }
    )
    assert [spec.model_dump() for spec in load().spec.ask.retrieve] == [{"use": "sparse", "k": 50}]


def test_null_takes_a_component_away() -> None:
    write({"p.yaml": "extends: hybrid\ningest: {index: {dense: null}}\nask: {retrieve: [{use: sparse}]}"})
    assert load().spec.ingest.index.dense is None


def test_a_value_given_by_flag_is_taken_as_it_is() -> None:
    write({"p.yaml": "version: 1"})
    assert load(overrides=["ingest.index.path=${HOME}/$${x}"]).spec.ingest.index.path == "${HOME}/$${x}"


def test_a_flag_changes_one_item_of_a_list() -> None:
    write({"p.yaml": "ask:\n  retrieve: [{use: dense, k: 5}, {use: sparse, k: 6}]"})
    loaded = load(overrides=["ask.retrieve.1.k=50"])
    assert [spec.model_dump()["k"] for spec in loaded.spec.ask.retrieve] == [5, 50]
    assert str(loaded.origins["ask.retrieve.0.k"]) == "p.yaml:2"
    assert str(loaded.origins["ask.retrieve.1.k"]) == "--set ask.retrieve.1.k=50"


def test_a_flag_changes_an_item_of_a_default_list() -> None:
    write({"p.yaml": "version: 1"})
    assert load(overrides=["ask.retrieve.0.k=7"]).spec.ask.retrieve[0].model_dump() == {"use": "dense", "k": 7}


def test_a_flag_changes_an_item_of_a_list_that_a_flag_before_it_gave() -> None:
    write({"p.yaml": "version: 1"})
    loaded = load(overrides=["ask.retrieve=[{use: sparse}]", "ask.retrieve.0.k=7", "ask.fuse.use=single"])
    assert [spec.model_dump() for spec in loaded.spec.ask.retrieve] == [{"use": "sparse", "k": 7}]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "ask.retrieve.dense.k=7",
            "ask.retrieve.dense: a list's items are named by number, from 0, as in ask.retrieve.0",
        ),
        ("ask.rerank.0.use=mmr", "ask.rerank.0: the list is empty; give all of it, as in ask.rerank=[{use: ...}]"),
        ("ask.rerank={use: mmr}", "ask.rerank: expected a list, got a mapping"),
        ("extends=dense", "extends: only a file has this key"),
    ],
)
def test_a_flag_that_cannot_be_followed_says_how_it_is_written(override: str, message: str) -> None:
    write({"p.yaml": "version: 1"})
    with pytest.raises(InvalidConfigError) as raised:
        load(overrides=[override])
    assert str(raised.value) == f"--set {override}: {message}"


def test_a_variable_that_names_no_value_is_a_problem_of_the_variable() -> None:
    write({"p.yaml": "version: 1"})
    with pytest.raises(InvalidConfigError, match=r"^\$RAG__ASK__: ask\.'': unknown key"):
        load(environ={"RAG__ASK__": "3"})
    with pytest.raises(InvalidConfigError, match=r"^\$RAG__: '': unknown key"):
        load(environ={"RAG__": "3"})


def test_a_flag_for_an_item_that_is_not_there_says_how_many_there_are() -> None:
    write({"p.yaml": "version: 1"})
    with pytest.raises(
        InvalidConfigError, match=r"ask\.retrieve\.2: there is no item 2; the list has 2, counted from 0"
    ):
        load(overrides=["ask.retrieve.2.k=7"])


@pytest.mark.parametrize("order", [["ask.fuse.use=rrf", "ask.fuse.keep=3"], ["ask.fuse.keep=3", "ask.fuse.use=rrf"]])
def test_a_use_given_by_flag_keeps_the_options_given_along_with_it_in_any_order(order: list[str]) -> None:
    write({"p.yaml": "ask: {fuse: {use: zscore, over: list}}"})
    assert fuse(load(overrides=order)) == {"use": "rrf", "keep": 3, "constant": 60}


def test_the_later_of_two_flags_wins() -> None:
    write({"p.yaml": "version: 1"})
    assert fuse(load(overrides=["ask.fuse.keep=3", "ask.fuse.keep=4"]))["keep"] == 4


@pytest.mark.parametrize("flag", ["ask.fuse.keep", "=3", "ask..keep=3"])
def test_a_flag_that_is_no_assignment_is_refused(flag: str) -> None:
    write({"p.yaml": "version: 1"})
    with pytest.raises(ConfigError, match="expected PATH=VALUE"):
        load(overrides=[flag])


def test_a_flag_with_a_wrong_path_offers_the_right_one() -> None:
    write({"p.yaml": "version: 1"})
    with pytest.raises(InvalidConfigError) as raised:
        load(overrides=["ask.fuse.kep=3"])
    assert str(raised.value) == "--set ask.fuse.kep=3: ask.fuse.kep: unknown key; did you mean `keep`?"


def test_files_that_extend_each_other_are_refused_with_the_way_round() -> None:
    write({"a.yaml": "extends: ./b.yaml", "b.yaml": "extends: ./a.yaml"})
    with pytest.raises(
        ConfigError, match=r"^b\.yaml:1:10: extends: files .* in a circle: a\.yaml -> b\.yaml -> a\.yaml"
    ):
        load("a.yaml")


def test_presets_that_name_each_other_are_refused() -> None:
    write({"configs/a.yaml": "presets: [b]", "configs/b.yaml": "presets: [a]", "p.yaml": "presets: [a]"})
    with pytest.raises(
        ConfigError,
        match=r"^configs/b\.yaml:1:11: presets\.0: .* configs/a\.yaml -> configs/b\.yaml -> configs/a\.yaml",
    ):
        load()


def test_the_same_preset_may_be_reached_by_two_ways() -> None:
    write(
        {
            "configs/a.yaml": "presets: [c]",
            "configs/b.yaml": "presets: [c]",
            "configs/c.yaml": "ask: {fuse: {keep: 3}}",
            "p.yaml": "presets: [a, b]",
        }
    )
    assert fuse(load())["keep"] == 3


def test_a_preset_may_not_extend_a_pipeline() -> None:
    write({"configs/a.yaml": "extends: hybrid", "p.yaml": "presets: [a]"})
    with pytest.raises(InvalidConfigError, match=r"configs/a\.yaml:1:10: extends: a preset cannot extend a pipeline"):
        load()


def test_extends_counts_from_the_file_it_stands_in() -> None:
    write({"deep/base.yaml": "ask: {fuse: {keep: 3}}", "deep/p.yaml": "extends: base.yaml"})
    assert fuse(load("deep/p.yaml"))["keep"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: hybird", "p.yaml:1:10: extends: unknown pipeline 'hybird'; did you mean 'hybrid'?"),
        ("extends: ./gone.yaml", "p.yaml:1:10: extends: there is no file gone.yaml"),
        ("extends: /etc/passwd", "p.yaml:1:10: extends: expected a name or a path relative to this file"),
        ("extends: [hybrid]", "p.yaml:1:10: extends: expected a name, got"),
        ("presets: hnsw", "p.yaml:1:10: presets: expected a list of names"),
        ("presets: [hnws]", "p.yaml:1:11: presets.0: unknown preset 'hnws'; did you mean 'hnsw'?"),
        ("presets: [../../x]", "p.yaml:1:11: presets.0: unknown preset '../../x'"),
        ("- a", "p.yaml:1:1: expected a mapping with `ingest` and `ask`"),
    ],
)
def test_what_lies_under_a_file_is_checked_at_its_place(text: str, message: str) -> None:
    write({"p.yaml": text})
    with pytest.raises(InvalidConfigError) as raised:
        load()
    assert str(raised.value).startswith(message)


def test_a_pipeline_of_the_working_directory_comes_before_one_that_ships() -> None:
    write({"pipelines/hybrid.yaml": "ask: {fuse: {keep: 3}}"})
    assert fuse(load("hybrid"))["keep"] == 3


def test_an_unknown_pipeline_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openai'"):
        load("openia")


def test_a_file_that_is_not_there_is_reported_by_its_path() -> None:
    with pytest.raises(ConfigError, match=r"^gone\.yaml: there is no such file$"):
        load("gone.yaml")


def test_paths_inside_a_pipeline_count_from_the_working_directory() -> None:
    write({"deep/p.yaml": "ingest: {index: {path: here}, load: [{use: files, root: docs}]}"})
    spec = load("deep/p.yaml").spec
    assert spec.ingest.index.path == "here"
    assert spec.ingest.load[0].model_dump()["root"] == "docs"
