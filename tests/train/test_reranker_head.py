from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rag import Pipeline
from rag.cli.train import train
from rag.errors import ConfigError
from rag.evaluate.datasets import load_dataset
from rag.models.linear_head import LinearHead
from rag.models.token_encoder import EmbedderTokenEncoder
from rag.rerank.signs import SIGNS
from rag.rerank.specs import TrainedSpec
from rag.rerank.token_matches import EncodedMatches
from rag.rerank.trained import KIND
from rag.train.head import train_head
from rag.train.reranker import METRIC, reranking_cases
from rag.types import Query

PIPELINE = """
version: 1
ingest:
  load: [{use: rows, path: set/corpus.jsonl}]
  embed: {use: hash, dimension: 128}
  index: {path: index}
ask:
  fuse: {use: zscore, keep: 20}
"""


def write_set(folder: Path, *, questions: int, seed: int = 3) -> None:
    """A question names a thing; a short document with it in the title answers, longer ones repeat the name.

    Word counts favour the repetitions, so that the first stage is often wrong and the title tells why.
    """
    folder.mkdir()
    random = np.random.default_rng(seed)
    documents, asked, judged = [], [], ["query-id\tcorpus-id\tscore"]
    for n in range(questions):
        words = [f"w{at}" for at in random.integers(300, size=40)]
        documents.append({"_id": f"right{n}", "title": f"thing{n}", "text": " ".join(words)})
        for copy in range(2):
            text = f"thing{n} thing{n} thing{n} " + " ".join(words[: 5 + copy])
            documents.append({"_id": f"wrong{n}-{copy}", "title": f"w{n} w{copy}", "text": text})
        asked.append({"_id": f"q{n}", "text": f"what of thing{n} w{random.integers(300)}"})
        judged.append(f"q{n}\tright{n}\t1")
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    (folder / "qrels.tsv").write_text("\n".join(judged))


@pytest.fixture
def pipeline(own_directory: Path) -> Pipeline:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), questions=80)
    made = Pipeline.from_yaml("p.yaml")
    made.ingest()
    return made


def test_a_head_learns_which_signs_tell_what_answers_and_a_search_with_it_gives_the_same_figures(
    pipeline: Pipeline,
) -> None:
    dataset = load_dataset("set")
    tokens = EncodedMatches(EmbedderTokenEncoder(pipeline.embedder))
    cases = reranking_cases(pipeline, dataset, tokens, signs=SIGNS, depth=20)
    assert len(cases.cases) == 80
    head, report = train_head([cases], [], signs=SIGNS, metric=METRIC, seed=0)
    [judged] = report.held_out
    assert judged.before < 0.3
    assert judged.after > 0.9
    assert head.weights["title"] > 0
    head.save(Path("h.safetensors"), kind=KIND, identity=pipeline.embedder.identity, about={})
    reranker = TrainedSpec(head="h.safetensors", depth=20, keep=20).build(pipeline.resources)
    for case, question in list(zip(cases.cases, dataset.questions, strict=True))[:10]:
        [after] = reranker.rerank([Query(text=question.text)], [pipeline.search(question.text).ranking])
        documents = list(dict.fromkeys(hit.chunk.document_id for hit in after))
        place = documents.index(next(iter(question.documents)))
        assert case.judged(head) == pytest.approx(1 / np.log2(place + 2))  # one document is relevant


def test_the_first_chunk_of_a_relevant_document_is_right_and_its_others_teach_nothing(own_directory: Path) -> None:
    folder = Path("set")
    folder.mkdir()
    long = " ".join(f"Moon sentence number {n} about moon rocks." for n in range(60))
    documents = [{"_id": "moon", "text": long}, {"_id": "sun", "text": "The sun and the moon."}]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "moon rocks"}))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tmoon\t2")
    Path("p.yaml").write_text(PIPELINE)
    with Pipeline.from_yaml("p.yaml") as pipeline:
        pipeline.ingest()
        names = [hit.chunk.document_id for hit in pipeline.search("moon rocks").ranking]
        assert names.count("moon") > 1
        tokens = EncodedMatches(EmbedderTokenEncoder(pipeline.embedder))
        [case] = reranking_cases(pipeline, load_dataset("set"), tokens, signs=("words",), depth=20).cases
    first = names.index("moon")
    assert case.right.tolist() == [2.0 if at == first else 0.0 for at in range(len(names))]
    assert case.taught.tolist() == [name == "sun" or at == first for at, name in enumerate(names)]
    assert case.figure(-np.arange(len(names), dtype=np.float64)) == (1 if first == 0 else pytest.approx(0.63, abs=0.01))


def test_a_pipeline_that_reranks_already_is_refused(pipeline: Pipeline) -> None:
    with (
        Pipeline.from_yaml("p.yaml", overrides=["ask.rerank=[{use: mmr}]"]) as reranking,
        pytest.raises(ConfigError, match="reranks it with 'mmr'"),
    ):
        reranking_cases(
            reranking, load_dataset("set"), EncodedMatches(EmbedderTokenEncoder(reranking.embedder)), depth=20
        )


def test_the_command_trains_on_several_sets_judges_on_others_and_never_overwrites(own_directory: Path) -> None:
    Path("p.yaml").write_text(PIPELINE)
    for name, seed in (("set", 3), ("more", 4), ("unseen", 5)):
        write_set(Path(name), questions=40, seed=seed)
    arguments = [
        "reranker",
        "p.yaml",
        "set",
        "more",
        "--test",
        "unseen",
        "--out",
        "made/h.safetensors",
        "--depth",
        "20",
    ]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "48 questions trained, 16 validated" in done.output
    assert "nDCG@10, held out, more (8): " in done.output
    assert "nDCG@10, unseen, unseen (40): " in done.output
    assert done.output.endswith("made/h.safetensors written\n")
    with Pipeline.from_yaml("p.yaml") as pipeline:
        head = LinearHead.load(Path("made/h.safetensors"), kind=KIND, identity=pipeline.embedder.identity, known=SIGNS)
    assert set(head.weights) == set(SIGNS) - {"maxsim", "rare"}
    assert Path("made/h.safetensors").stat().st_size < 5000
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        CliRunner().invoke(train, arguments, catch_exceptions=False)
