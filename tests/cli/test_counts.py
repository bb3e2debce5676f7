from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ON = ("--set", "ingest.index.ngrams={}")


def test_phrases_are_counted_alone_and_together(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "Owls", "they hunt", "--window", "6", *ON)
    # "# Owls\n\nOwls hoot after dark. They hunt mice.": 5 and 6 words before "they".
    assert [line.split(maxsplit=1) for line in done.out.splitlines()] == [
        ["2", "Owls"],
        ["1", "they hunt"],
        ["2", "together within 6 words"],
        ["1", "documents with both"],
    ]
    assert done.code == 0


def test_the_window_is_in_words(indexed: Path, run: Callable[..., Any]) -> None:
    record = run("counts", "owls", "they hunt", "--window", "4", "--json", *ON).json
    assert record["together"]["pairs"] == {"count": 1, "exact": True}


def test_json_says_what_was_counted_and_where(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("counts", "dogs", "--json", *ON).json == {
        "version": 1,
        "generation": 1,
        "words": 18,
        "counts": [{"phrase": "dogs", "count": 2, "exact": True}],
    }


def test_a_lower_bound_is_called_one(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "dogs", "bark", "--set", "ingest.index.ngrams={most: 1}")
    assert "at least 1  together within 1000 words" in done.out


def test_a_pipeline_without_counts_says_how_to_have_them(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "dogs")
    assert done.code == 1
    assert "ingest.index.ngrams" in done.err


def test_a_phrase_without_a_word_is_refused(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("counts", "?!", *ON).code == 2


def test_counts_are_verified_byte_by_byte_and_a_damaged_file_is_made_anew(
    indexed: Path, run: Callable[..., Any]
) -> None:
    run("counts", "dogs", *ON)
    assert run("counts", "--verify", *ON).out == "1 files compared with their checksums, none damaged\n"
    (path,) = (indexed / ".ragloom").rglob("ngrams/*/*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (damage,) = [found for found in run("doctor", "--deep", "--json", *ON).json if found["state"] == "problem"]
    _, *mend = shlex.split(damage["mend"])
    assert mend == ["counts", *ON, "--verify"]
    done = run(*mend)
    assert (done.code, done.out) == (0, "1 files compared with their checksums, 1 damaged and made anew\n")
    assert path.read_bytes() == whole


POPULARITY = (
    *("--set", "ask.dynamic={trigger: {use: popularity, below: 1}, add: 1}"),
    *("--set", "llm={use: openai, base_url: 'http://127.0.0.1:9/v1', model: m}"),
    *("--set", "ask.generate={use: llm, without_evidence: answer}"),
)


def test_thresholds_of_popularity_are_fitted_from_questions_answered_both_ways(
    indexed: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    # "Owls" occurs twice and "Yaks" never: with retrieval right where it does not, from memory where it does.
    rows = [
        {"question": f"What is the {relation} of {name}?", "relation": relation, "from_memory": memory}
        for relation, name, memory in [
            *[("food", "the Yaks", False)] * 4,
            *[("food", "the Owls", True)] * 4,
            *[("colour", "the Owls", True)] * 4,
        ]
    ]
    path = tmp_path / "answered.jsonl"
    path.write_text("".join(json.dumps({**row, "with_retrieval": not row["from_memory"]}) + "\n" for row in rows))
    done = run("counts", "--fit", str(path), *ON, *POPULARITY)
    assert done.code == 0, done.err
    heading, *lines = done.out.splitlines()
    assert heading.startswith("# right on 3 questions held out: 1.000; never retrieving ")
    fitted = yaml.safe_load("\n".join(lines))
    assert 0 < fitted["below"] < 2
    assert 0 < fitted["relations"]["food"] < 2
    assert fitted["relations"]["colour"] == 0  # nothing is gained by retrieval there


def test_a_line_that_is_no_answered_question_is_named(indexed: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "answered.jsonl"
    path.write_text('{"question": "Who?", "from_memory": true, "with_retrieval": true}\n{"question": "Who?"}\n')
    done = run("counts", "--fit", str(path), *ON, *POPULARITY)
    assert done.code == 1
    assert "answered.jsonl:2" in done.err


def test_thresholds_are_fitted_for_a_trigger_by_popularity_alone(
    indexed: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "answered.jsonl"
    path.write_text('{"question": "Who?", "from_memory": true, "with_retrieval": true}\n')
    done = run("counts", "--fit", str(path), *ON)
    assert done.code == 1
    assert "expected `popularity`" in done.err


def test_a_phrase_or_one_of_the_other_two_is_asked_for(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("counts", *ON).code == 2
    assert run("counts", "dogs", "--verify", *ON).code == 2
    assert run("counts", "--verify", "--json", *ON).code == 2
