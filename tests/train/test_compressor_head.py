from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rag import Pipeline
from rag.cli.train import train
from rag.compress.trained import KIND, SIGNS
from rag.errors import ConfigError
from rag.evaluate.datasets import load_dataset
from rag.models.linear_head import LinearHead
from rag.train.compressor import compression_cases
from rag.train.support import supports

PIPELINE = """
version: 1
ingest:
  load: [{use: rows, path: set/corpus.jsonl}]
  embed: {use: hash, dimension: 128}
  index: {path: index}
ask:
  fuse: {use: zscore, keep: 20}
"""


def write_set(folder: Path, queries: list[dict[str, object]], documents: dict[str, tuple[str, str]]) -> None:
    """Every query's relevant documents are those in its `metadata.relevant`."""
    folder.mkdir()
    corpus = [{"_id": name, "title": title, "text": text} for name, (title, text) in documents.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    lines = ["query-id\tcorpus-id\tscore"]
    for query in queries:
        meta = query["metadata"]
        assert isinstance(meta, dict)
        lines += [f"{query['_id']}\t{name}\t1" for name in meta["relevant"]]
    (folder / "qrels.tsv").write_text("\n".join(lines))


def query(name: str, text: str, **metadata: object) -> dict[str, object]:
    return {"_id": name, "text": text, "metadata": metadata}


DOCUMENTS = {
    "zoo": ("Zoo", "The zoo has lions. It opens at nine. Dogs stay out."),
    "farm": ("Farm", "The farm opens at nine. It sells milk."),
}


@pytest.fixture
def pipeline(own_directory: Path) -> Pipeline:
    Path("p.yaml").write_text(PIPELINE)
    queries = [
        query("facts", "When does the zoo open?", relevant=["zoo"], supporting_facts=[["zoo", 1], ["zoo", 99]]),
        query(
            "spans",
            "What does the farm sell?",
            relevant=["farm"],
            gold_spans=[{"doc": "farm", "start": 24, "end": 38, "text": "It sells milk."}],
        ),
        query("answers", "When do they open?", relevant=["zoo", "farm"], answers=["nine"]),
        query("nothing", "Why?", relevant=["zoo"], answers=["because of rain"]),
    ]
    write_set(Path("set"), queries, DOCUMENTS)
    made = Pipeline.from_yaml("p.yaml")
    made.ingest()
    return made


def test_what_answers_is_known_from_facts_spans_or_answers(pipeline: Pipeline) -> None:
    reader = pipeline.index.reader()
    found = {
        name: [[reader.document(span.document_id).text[span.start : span.end] for span in piece] for piece in support]
        for name, support in supports(load_dataset("set"), reader).items()
    }
    assert found == {
        "facts": [["It opens at nine."]],  # the sentence of a number that is not there is left out
        "spans": [["It sells milk."]],
        "answers": [["The farm opens at nine.", "It opens at nine."]],  # any of these will do
    }


def test_the_figure_is_the_share_of_what_is_needed_that_fits_the_budget(pipeline: Pipeline) -> None:
    facts, spans, answers = compression_cases(pipeline, load_dataset("set"), ratio=0.35).cases
    assert [case.right.sum() for case in (facts, spans, answers)] == [1, 1, 2]
    for case in (facts, spans):
        assert case.figure(case.right) == 1  # what is needed comes first
        assert case.figure(-case.right) == 0  # and last
    either = np.flatnonzero(answers.right)
    for at in either:
        assert answers.figure(np.eye(len(answers.right))[at]) == 1


def test_facts_of_another_index_and_broken_facts_are_refused(pipeline: Pipeline) -> None:
    queries = Path("set/queries.jsonl")
    was = queries.read_text()
    queries.write_text(was.replace('["zoo", 1]', '["museum", 1]'))
    with pytest.raises(ConfigError, match="'museum' of a supporting fact is not in the index"):
        supports(load_dataset("set"), pipeline.index.reader())
    queries.write_text(was.replace('["zoo", 1]', '["zoo"]'))
    with pytest.raises(ConfigError, match=r"queries\.jsonl:1.*\[document, number\], got \['zoo'\]"):
        supports(load_dataset("set"), pipeline.index.reader())


def test_a_set_that_does_not_say_what_answers_is_refused(own_directory: Path) -> None:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), [query("q", "Why?", relevant=["zoo"])], DOCUMENTS)
    with Pipeline.from_yaml("p.yaml") as pipeline:
        pipeline.ingest()
        with pytest.raises(ConfigError, match="no question says which sentences answer it"):
            compression_cases(pipeline, load_dataset("set"))


def test_the_command_learns_that_headings_name_what_is_needed_and_judges_on_another_set(own_directory: Path) -> None:
    """Long documents repeat a question's word; what is needed never has it, and stands in one that its title names."""
    Path("p.yaml").write_text(PIPELINE)
    for name, seed in (("set", 1), ("unseen", 2)):
        random = np.random.default_rng(seed)
        documents, queries = {}, []
        for n in range(60):
            thing, other = f"Thing{random.integers(10**6)}", f"Other{random.integers(10**6)}"
            filler = [" ".join(f"w{at}" for at in random.integers(300, size=6)) for _ in range(4)]
            documents[f"right{n}"] = (thing, " ".join(f"As {words}." for words in filler))
            documents[f"wrong{n}"] = ("", " ".join(f"So {other} {words}." for words in filler))
            facts = [[f"right{n}", 3]]
            queries.append(query(f"q{n}", f"{thing} {other}?", relevant=[f"right{n}"], supporting_facts=facts))
        write_set(Path(name), queries, documents)
    arguments = ["compressor", "p.yaml", "set", "--test", "unseen", "--out", "h.safetensors", "--keep", "4"]
    done = CliRunner().invoke(train, [*arguments, "--ratio", "0.3", "--json"], catch_exceptions=False)
    report = json.loads(done.output[done.output.index("{") :])
    assert done.exit_code == 0
    assert report["weights"]["named"] > 0
    [unseen] = report["unseen"]
    assert unseen["questions"] == 60
    assert unseen["after"] > unseen["before"] + 0.2
    with Pipeline.from_yaml("p.yaml") as pipeline:
        head = LinearHead.load(Path("h.safetensors"), kind=KIND, identity=pipeline.embedder.identity, known=SIGNS)
    assert set(head.weights) == set(SIGNS)
