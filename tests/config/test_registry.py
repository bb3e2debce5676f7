from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from rag import registry
from rag.config.problems import InvalidConfigError
from rag.errors import ConfigError, UnknownNameError
from rag.pipeline.spec import AskSpec, PipelineSpec
from rag.rerank.specs import MmrSpec, RerankerSpec


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def install(folder: Path, *, name: str, entry_points: str, code: str) -> None:
    """What pip leaves behind for a distribution of one module."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / f"{name}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


PLUGIN = """
from typing import Literal
from pydantic import Field
from rag.rerank.specs import RerankerSpec

class MineSpec(RerankerSpec):
    '''Orders by the phase of the moon.'''
    use: Literal["moonlight"] = "moonlight"
    depth: int = Field(3, ge=1)
"""


def problem(text: str) -> str:
    with pytest.raises(InvalidConfigError) as raised:
        PipelineSpec.from_yaml(text, environ={})
    return str(raised.value).split("\n")[0]


def test_every_built_in_is_found_by_its_own_use() -> None:
    for stage in registry.STAGES:
        for name in registry.names(stage, plugins=False):
            assert registry.spec_name(registry.find(stage, name)) == name


def test_a_plug_in_is_found_by_its_entry_point_and_its_options_keep_their_place(site: Path) -> None:
    install(site, name="moon", entry_points="[rag.rerank]\nmoonlight = moon:MineSpec\n", code=PLUGIN)
    spec = PipelineSpec.from_yaml("ask: {rerank: [{use: moonlight, depth: 5}]}", environ={})
    assert spec.ask.rerank[0].model_dump() == {"use": "moonlight", "keep": 10, "depth": 5}
    assert problem("ask:\n  rerank:\n    - {use: moonlight, depth: 0}") == (
        "<text>:3:31: ask.rerank.0.depth: expected at least 1, got 0"
    )
    assert registry.names("rerank")["moonlight"] == "moon"


def test_the_near_name_of_a_plug_in_is_offered(site: Path) -> None:
    install(site, name="moon", entry_points="[rag.rerank]\nmoonlight = moon:MineSpec\n", code=PLUGIN)
    known = ", ".join(sorted(registry.names("rerank")))
    assert problem("ask: {rerank: [{use: moonligth}]}").endswith(f"did you mean 'moonlight'? (known: {known})")
    assert "moonlight" in known


def test_a_broken_plug_in_fails_only_when_its_name_is_used_and_names_its_distribution(site: Path) -> None:
    install(
        site, name="sunny", entry_points="[rag.rerank]\nsun = sunny:Spec\n", code="import a_module_that_is_not_there"
    )
    assert PipelineSpec.from_yaml("ask: {rerank: [{use: mmr}]}", environ={}).ask.rerank == (MmrSpec(),)
    message = problem("ask: {rerank: [{use: sun}]}")
    assert "the plug-in sunny (sunny:Spec) cannot be imported: ModuleNotFoundError" in message


def test_a_plug_in_that_is_no_spec_of_its_stage_is_refused(site: Path) -> None:
    install(site, name="wrong", entry_points="[rag.rerank]\nwrong = wrong:Spec\n", code="class Spec: pass")
    assert "expected a class derived from RerankerSpec" in problem("ask: {rerank: [{use: wrong}]}")


def test_a_plug_in_whose_use_is_not_its_entry_point_is_refused(site: Path) -> None:
    install(site, name="moon", entry_points="[rag.rerank]\nother = moon:MineSpec\n", code=PLUGIN)
    assert "calls itself 'moonlight', its entry point 'other'" in problem("ask: {rerank: [{use: other}]}")


def test_two_plug_ins_of_one_name_are_refused_by_both_names(site: Path) -> None:
    install(site, name="moon", entry_points="[rag.rerank]\nmoonlight = moon:MineSpec\n", code=PLUGIN)
    install(site, name="luna", entry_points="[rag.rerank]\nmoonlight = luna:MineSpec\n", code=PLUGIN)
    message = problem("ask: {rerank: [{use: moonlight}]}")
    assert "two plug-ins are called 'moonlight' in rag.rerank" in message
    assert "luna" in message
    assert "moon" in message


def test_a_plug_in_cannot_take_the_name_of_a_built_in(site: Path) -> None:
    code = PLUGIN.replace("moonlight", "mmr")
    install(site, name="moon", entry_points="[rag.rerank]\nmmr = moon:MineSpec\n", code=code)
    assert registry.find("rerank", "mmr") is MmrSpec


def test_entry_points_are_not_read_for_names_that_ship() -> None:
    code = (
        "import importlib.metadata as m\n"
        "read = m.entry_points\n"
        "def refuse(group):\n"
        "    assert not group.startswith('rag.'), group\n"
        "    return read(group=group)\n"
        "m.entry_points = refuse\n"
        "from rag.pipeline.spec import load_spec\n"
        "load_spec('hybrid', environ={})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class LengthSpec(RerankerSpec):
    """Longest first."""

    use: Literal["length"] = "length"


def test_a_class_of_this_program_is_registered_by_its_use() -> None:
    registry.register("rerank", LengthSpec)
    spec = PipelineSpec.from_yaml("ask: {rerank: [{use: length, keep: 2}]}", environ={})
    assert spec.ask.rerank == (LengthSpec(keep=2),)
    assert PipelineSpec.from_yaml(spec.to_yaml(), environ={}) == spec


def test_an_instance_needs_no_registration() -> None:
    assert PipelineSpec(ask=AskSpec(rerank=(LengthSpec(),))).ask.rerank[0].use == "length"


def test_registering_the_same_class_twice_changes_nothing() -> None:
    registry.register("rerank", LengthSpec)
    registry.register("rerank", LengthSpec)
    assert registry.find("rerank", "length") is LengthSpec


class ImpostorSpec(RerankerSpec):
    use: Literal["mmr"] = "mmr"


class NamelessSpec(RerankerSpec):
    pass


class ForeignSpec(BaseModel):
    use: Literal["foreign"] = "foreign"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ImpostorSpec, "the reranker 'mmr' is already there"),
        (NamelessSpec, "a reranker needs a field like `use:"),
        (ForeignSpec, "expected a class derived from RerankerSpec"),
    ],
)
def test_a_class_that_cannot_be_registered_is_refused(spec: type[BaseModel], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.register("rerank", spec)


def test_an_unknown_stage_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown stage 'rerankers'; did you mean 'rerank'\?"):
        registry.find("rerankers", "mmr")


def test_underscores_and_capitals_do_not_keep_a_name_from_being_guessed() -> None:
    assert registry.near("Cross_Encoder", ["cross-encoder", "mmr"]) == "cross-encoder"
    assert registry.near("xyz", ["cross-encoder", "mmr"]) is None
