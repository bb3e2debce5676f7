from __future__ import annotations

from pathlib import Path

import pytest

from rag import library
from rag.errors import ConfigError, UnknownNameError
from rag.models.head_files import head_file, missing_head


def test_what_ships_is_found_from_any_folder() -> None:
    assert library.find("pipelines", "hybrid").name == "hybrid.yaml"
    assert library.find("prompts", "answer").name == "answer.md"
    assert library.find("configs", "hnsw").name == "hnsw.yaml"


def test_the_working_directory_comes_first(own_directory: Path) -> None:
    (own_directory / "prompts").mkdir()
    (own_directory / "prompts" / "answer.md").write_text("Mine: {question}", encoding="utf-8")
    assert library.read("prompts", "answer") == "Mine: {question}"


def test_names_lists_both_places_once(own_directory: Path) -> None:
    (own_directory / "pipelines").mkdir()
    for name in ("hybrid.yaml", "mine.yaml", "no name.yaml", "notes.txt"):
        (own_directory / "pipelines" / name).write_text("")
    assert library.names("pipelines") == [
        "dense",
        "hybrid",
        "mine",
        "one-prefill",
        "openai",
        "quality",
        "sentence-window",
        "sparse",
    ]


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown prompt 'anwser'; did you mean 'answer'\?"):
        library.find("prompts", "anwser")


@pytest.mark.parametrize(
    "name", ["../secret", "..", ".", "", "a/b", "a\\b", "/etc/passwd", "secret\0", ".hidden", "a..b", "secret\n"]
)
def test_a_name_cannot_lead_out_of_its_folder(own_directory: Path, name: str) -> None:
    (own_directory / "pipelines").mkdir()
    (own_directory / "secret.yaml").write_text("")
    (own_directory / "pipelines" / ".hidden.yaml").write_text("")
    with pytest.raises(UnknownNameError):
        library.find("pipelines", name)


def test_a_file_that_is_not_utf_8_is_refused(own_directory: Path) -> None:
    (own_directory / "prompts").mkdir()
    (own_directory / "prompts" / "mine.md").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        library.read("prompts", "mine")


def test_a_trained_head_is_found_by_its_path_or_its_name(own_directory: Path) -> None:
    (own_directory / "models").mkdir()
    (own_directory / "models" / "mine.safetensors").write_bytes(b"")
    assert head_file("mine") == Path("models/mine.safetensors")
    assert head_file("elsewhere/mine.safetensors") == Path("elsewhere/mine.safetensors")
    assert missing_head("mine", made_by="rag train reranker") is None
    message = missing_head("mien", made_by="rag train reranker")
    assert message is not None
    assert message.startswith("unknown model 'mien'; did you mean 'mine'?")
