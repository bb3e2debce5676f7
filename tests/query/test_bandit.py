from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import ConfigError
from rag.models.template import Template
from rag.query.asking import Asker
from rag.query.bandit import STRATEGIES, Bandit, draw
from rag.query.bandit_state import Arm, BanditState
from rag.query.features import FEATURES, features
from rag.query.specs import BanditSpec
from rag.testing import ScriptedModel
from rag.types import Query

TEMPLATE = Template.parse("{instruction} {question}", name="t", fields={"question", "instruction"})


def state(folder: Path, *, width: int | None = None) -> BanditState:
    names = FEATURES if width is None else [f"f{at}" for at in range(width)]
    return BanditState(folder / "state" / "bandit.sqlite", features=names, prior=1.0)


def bandit(kept: BanditState, *replies: str, arms: tuple[str, ...] = ("none", "expand"), seed: int = 0) -> Bandit:
    return Bandit(Asker(ScriptedModel(replies), TEMPLATE, concurrency=1), kept, arms=arms, spread=0.25, seed=seed)


def test_a_reward_adds_the_features_to_the_arm_that_was_played(tmp_path: Path) -> None:
    kept = state(tmp_path, width=2)
    assert kept.choose("expand", np.array([1.0, 0.0]), number=1)
    assert kept.reward(1, 1.0) == "expand"
    arm = state(tmp_path, width=2).arms(["expand"])["expand"]  # another process
    assert arm.precision.tolist() == [[2, 0], [0, 1]]
    assert arm.mean.tolist() == [0.5, 0.0]
    assert arm.rewards == 1


def test_without_spread_the_arm_of_the_largest_mean_is_played_and_the_first_of_equal_ones() -> None:
    x, nothing = np.array([1.0, 0.0]), Arm(np.eye(2), np.zeros(2), 0)
    good = Arm(np.diag([2.0, 1.0]), np.array([1.0, 0.0]), 1)
    generator = np.random.default_rng(0)
    assert draw({"a": nothing, "b": good}, x, spread=0.0, generator=generator) == "b"
    assert draw({"a": nothing, "b": nothing}, x, spread=0.0, generator=generator) == "a"


def test_drawn_parameters_have_the_arm_s_mean_and_covariance() -> None:
    # One feature, A = 4, b = 2: theta ~ N(0.5, spread² / 4). Against a sure arm of 0.5 it wins every other time.
    sure, unsure = Arm(np.array([[1e12]]), np.array([0.5e12]), 9), Arm(np.array([[4.0]]), np.array([2.0]), 3)
    generator = np.random.default_rng(1)
    wins = sum(
        draw({"sure": sure, "unsure": unsure}, np.ones(1), spread=1.0, generator=generator) == "unsure"
        for _ in range(2000)
    )
    assert 900 < wins < 1100


def test_before_any_reward_questions_are_left_alone(tmp_path: Path) -> None:
    made = bandit(state(tmp_path)).transform([Query(text="a"), Query(text="b")])
    assert [rewritten.queries for rewritten in made] == [(Query(text="a"),), (Query(text="b"),)]
    assert [dict(rewritten.notes) for rewritten in made] == [
        {"arm": "none", "choice": "1"},
        {"arm": "none", "choice": "2"},
    ]


def test_a_chosen_rewrite_stands_beside_the_question(tmp_path: Path) -> None:
    [made] = bandit(state(tmp_path), "longer a", arms=("expand", "simplify")).transform([Query(text="a")])
    assert [query.text for query in made.queries] == ["a", "longer a"]
    assert made.notes["requests"] == 1


def test_an_empty_rewrite_leaves_the_question_alone_and_is_counted(tmp_path: Path) -> None:
    [made] = bandit(state(tmp_path), " ", arms=("expand", "simplify")).transform([Query(text="a")])
    assert (made.queries, made.notes["malformed"]) == ((Query(text="a"),), 1)


def test_choices_repeat_with_the_seed_and_the_state_and_go_on_where_they_ended(tmp_path: Path) -> None:
    def arms(folder: Path, *, parts: int) -> list[object]:
        found: list[object] = []
        for _ in range(parts):  # a new object each time, as after a restart
            replies = [f"r{at}" for at in range(20 // parts)]
            made = bandit(state(folder), *replies, arms=("expand", "simplify"), seed=3).transform(
                [Query(text="Why do dogs bark?")] * (20 // parts)
            )
            found += [rewritten.notes["arm"] for rewritten in made]
        return found

    whole = arms(tmp_path / "a", parts=1)
    assert arms(tmp_path / "b", parts=4) == whole
    assert set(whole) == {"expand", "simplify"}


def test_it_learns_the_arm_that_is_rewarded(tmp_path: Path) -> None:
    kept = state(tmp_path)
    names = ("none", "expand", "simplify")
    for _ in range(120):
        replies = ["rewrite"]
        [made] = bandit(kept, *replies, arms=names).transform([Query(text="Why do dogs bark?")])
        kept.reward(int(str(made.notes["choice"])), 1.0 if made.notes["arm"] == "expand" else 0.2)
    late = [
        bandit(kept, "rewrite", arms=names).transform([Query(text="Why do dogs bark?")])[0].notes["arm"]
        for _ in range(20)
    ]
    assert late.count("expand") >= 15


def test_a_reward_out_of_range_twice_or_for_no_choice_is_refused(tmp_path: Path) -> None:
    kept = state(tmp_path, width=2)
    kept.choose("expand", np.array([1.0, 0.0]), number=1)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        kept.reward(1, 1.5)
    with pytest.raises(ConfigError, match="no choice 7"):
        kept.reward(7, 1.0)
    kept.reward(1, 1.0)
    with pytest.raises(ConfigError, match="has its reward"):
        kept.reward(1, 1.0)
    assert kept.arms(["expand"])["expand"].rewards == 1


def test_a_number_taken_by_another_process_is_not_taken_twice(tmp_path: Path) -> None:
    one, other = state(tmp_path, width=1), state(tmp_path, width=1)
    assert one.choose("a", np.ones(1), number=1)
    assert not other.choose("b", np.ones(1), number=1)


def test_a_file_of_other_features_or_no_database_is_refused(tmp_path: Path) -> None:
    state(tmp_path, width=2).choose("none", np.zeros(2), number=1)
    with pytest.raises(ConfigError, match="other features"):
        state(tmp_path, width=3).choices()
    (tmp_path / "text").write_text("x" * 4096, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be used"):
        BanditState(tmp_path / "text", features=["a"], prior=1.0).choices()


def test_features_are_numbers_from_0_to_1_one_a_name() -> None:
    for question in ("", 'Why isn\'t it the BIGGEST "thing" since 1990, please?', "猫" * 500, "a " * 500):
        found = features(question)
        assert found.shape == (len(FEATURES),)
        assert ((found >= 0) & (found <= 1)).all()


def test_features_say_what_a_question_has() -> None:
    found = dict(zip(FEATURES, features("Is Berlin not older than 1990?").tolist(), strict=True))
    assert found["negation"] == found["yes or no"] == found["number"] == found["name"] == found["comparison"] == 1
    assert found["question word"] == found["pronoun"] == found["quotation"] == 0
    assert found["words"] == pytest.approx(6 / 30)


def test_every_arm_of_the_file_has_an_instruction() -> None:
    assert set(BanditSpec().arms) == {"none", *STRATEGIES}
    with pytest.raises(ValueError, match="stands twice"):
        BanditSpec(arms=("none", "none"))


def test_a_frozen_bandit_makes_the_next_choice_and_counts_it_not(tmp_path: Path) -> None:
    kept = state(tmp_path)
    arms = ("expand", "simplify", "clarify")
    for number in range(1, 6):
        kept.choose(arms[number % 3], features("Why?"), number=number)
        kept.reward(number, 0.5)
    frozen = bandit(kept, "x", "x", arms=arms).frozen()
    seen = [dict(frozen.transform([Query(text="Why?")])[0].notes) for _ in range(2)]
    assert kept.choices() == 5
    assert all("choice" not in notes for notes in seen)
    [made] = bandit(kept, "x", arms=arms).transform([Query(text="Why?")])
    assert kept.choices() == 6
    assert {notes["arm"] for notes in seen} == {made.notes["arm"]}


def test_a_frozen_bandit_without_a_state_makes_none_and_leaves_questions_alone(tmp_path: Path) -> None:
    kept = state(tmp_path)
    [made] = bandit(kept).frozen().transform([Query(text="a")])
    assert made.queries == (Query(text="a"),)
    assert not kept.path.parent.exists()
