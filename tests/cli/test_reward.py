from __future__ import annotations

from pathlib import Path

import pytest

from rag.query.features import features
from rag.query.specs import BanditSpec

SET = ["--set", "llm={use: given}", "--set", "ask.transform=[{use: bandit, state: state.sqlite}]"]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BanditSpec:
    monkeypatch.chdir(tmp_path)
    return BanditSpec(state="state.sqlite")


def test_a_reward_reaches_the_state_that_the_pipeline_names(run, spec: BanditSpec) -> None:
    spec.stored().choose("expand", features("Why?"), number=1)
    done = run("reward", "1", "0.8", *SET)
    assert (done.code, done.out) == (0, "expand: 0.8\n")
    assert spec.stored().arms(["expand"])["expand"].rewards == 1


def test_a_pipeline_without_a_bandit_is_refused(run, spec: BanditSpec) -> None:
    done = run("reward", "1", "0.8")
    assert done.code == 1
    assert "expected one `bandit`, found 0" in done.err
