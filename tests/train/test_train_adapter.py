from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rag import Pipeline
from rag.cli.train import train
from rag.embed.adapter import AdaptedEmbedder, Adapter
from rag.embed.hash import HashEmbedder
from rag.errors import ConfigError
from rag.evaluate.datasets import load_dataset
from rag.pipeline.build import Components
from rag.train.adapter import AdapterOptions, train_adapter
from rag.train.examples import Examples
from rag.train.split import Split

TOPICS = 8
PIPELINE = """
version: 1
ingest:
  load: [{use: rows, path: set/corpus.jsonl}]
  embed: {use: hash, dimension: 128}
  index: {path: index}
"""


def write_set(folder: Path, *, questions: int, speaks: str) -> None:
    """Documents name their topic ``d0``, ``d1``, ...; questions name it ``<speaks>0``, ``<speaks>1``, ..."""
    folder.mkdir()
    random = np.random.default_rng(3)

    def filler() -> str:
        return " ".join(f"w{n}" for n in random.integers(200, size=3))

    documents = [{"_id": f"doc{n}", "title": "", "text": f"d{n % TOPICS} {filler()}"} for n in range(5 * TOPICS)]
    asked = [{"_id": f"q{n}", "text": f"{speaks}{n % TOPICS} {filler()}"} for n in range(questions)]
    judged = [(n, d) for n in range(questions) for d in range(5 * TOPICS) if d % TOPICS == n % TOPICS]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
    lines = [f"q{n}\tdoc{d}\t1" for n, d in judged]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))


@pytest.fixture
def pipeline(own_directory: Path) -> Pipeline:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), questions=250, speaks="q")
    made = Pipeline.from_yaml("p.yaml")
    made.ingest()
    return made


def test_an_adapter_learns_what_questions_call_things_and_it_holds_on_questions_held_out(pipeline: Pipeline) -> None:
    examples = Examples(pipeline, load_dataset("set"))
    assert len(examples) == 250
    adapter, report = train_adapter(examples, AdapterOptions(epochs=40))
    assert (report.training, report.validation, report.held_out) == (150, 50, 50)
    assert report.before < 0.4
    assert report.after > 0.9
    assert report.gained
    assert report.p < 0.001
    assert report.interval[0] > 0.3
    assert report.seen == 1  # every topic is asked about in training too
    assert (report.fresh, report.fresh_before, report.fresh_after) == (0, None, None)
    again, same = train_adapter(examples, AdapterOptions(epochs=40))
    assert again.u.tolist() == adapter.u.tolist()
    assert same == report


def test_figures_before_and_after_are_those_of_a_search_with_and_without_the_adapter(pipeline: Pipeline) -> None:
    examples = Examples(pipeline, load_dataset("set"))
    adapter, _ = train_adapter(examples, AdapterOptions(epochs=5))
    adapter.save(Path("a.safetensors"), identity=pipeline.embedder.identity, about={})
    embedder = AdaptedEmbedder(HashEmbedder(dimension=128), Path("a.safetensors"))
    dense = ["ask.retrieve=[{use: dense, k: 20}]", "ask.fuse={use: single, keep: 20}", "ask.rerank=[]"]
    at = np.arange(3)
    expected = examples.ndcg(at, adapter.apply(examples.vectors[at]))
    with Pipeline.from_yaml("p.yaml", overrides=dense, components=Components(embedder=embedder)) as adapted:
        for place, figure in zip(at, expected, strict=True):
            question = examples.examples[place].question
            order = [hit.chunk.document_id for hit in adapted.search(question.text).ranking]
            gains = [1 / np.log2(rank + 1) for rank, name in enumerate(order[:10], 1) if name in question.documents]
            assert figure == pytest.approx(sum(gains) / sum(1 / np.log2(rank + 1) for rank in range(1, 6)))


def test_positives_are_nearest_chunks_and_negatives_are_what_retrieval_ranks_high_and_is_wrong(
    pipeline: Pipeline,
) -> None:
    examples = Examples(pipeline, load_dataset("set"))
    for example in examples.examples[:20]:
        found = {chunk.document_id for chunk in examples.reader.chunks(example.positives.tolist())}
        assert found == example.question.documents
        wrong = {chunk.document_id for chunk in examples.reader.chunks(example.negatives.tolist())}
        assert wrong
        assert not wrong & found


def test_few_questions_are_refused(own_directory: Path) -> None:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), questions=199, speaks="q")
    with Pipeline.from_yaml("p.yaml") as pipeline:
        pipeline.ingest()
        with pytest.raises(ConfigError, match=r"199 questions .* at least 200"):
            train_adapter(Examples(pipeline, load_dataset("set")), AdapterOptions())


def test_an_index_of_another_set_and_an_embedder_with_an_adapter_are_refused(pipeline: Pipeline) -> None:
    write_set(Path("other"), questions=210, speaks="q")
    corpus = Path("other/qrels.tsv")
    corpus.write_text(corpus.read_text().replace("doc3\t", "x3\t"))
    lacking = Examples(pipeline, load_dataset("other"))  # 1 of 40 may be a document without text
    assert len(lacking) == 210
    assert len(lacking.examples[3].positives) == 4
    corpus.write_text(corpus.read_text().replace("doc4\t", "x4\t").replace("doc5\t", "x5\t"))
    with pytest.raises(ConfigError, match=r"3 of 40 judged documents .* such as 'x3'"):
        Examples(pipeline, load_dataset("other"))
    drawn = np.zeros((128, 1), np.float32)
    Adapter(drawn, drawn).save(Path("a.safetensors"), identity=pipeline.embedder.identity, about={})
    embedder = AdaptedEmbedder(HashEmbedder(dimension=128), Path("a.safetensors"))
    with (
        Pipeline.from_yaml("p.yaml", components=Components(embedder=embedder)) as adapted,
        pytest.raises(ConfigError, match=r"has a\.safetensors already"),
    ):
        Examples(adapted, load_dataset("set"))


def test_the_command_writes_what_gains_and_never_overwrites(pipeline: Pipeline) -> None:
    arguments = ["adapter", "p.yaml", "set", "--out", "made/a.safetensors", "--epochs", "20"]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "150 questions trained, 50 validated, 50 held out" in done.output
    Adapter.load(Path("made/a.safetensors"), identity=pipeline.embedder.identity)
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        CliRunner().invoke(train, arguments, catch_exceptions=False)


def test_the_command_writes_nothing_where_nothing_is_gained(own_directory: Path) -> None:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), questions=200, speaks="d")  # questions already say what documents say
    with Pipeline.from_yaml("p.yaml") as pipeline:
        pipeline.ingest()
    arguments = ["adapter", "p.yaml", "set", "--out", "a.safetensors", "--json", "--epochs", "1"]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    report = json.loads(done.output)
    assert done.exit_code == int(report["after"] <= report["before"])
    assert Path("a.safetensors").exists() == (report["after"] > report["before"])


def test_questions_about_documents_that_trained_nothing_are_judged_apart(own_directory: Path) -> None:
    Path("p.yaml").write_text(PIPELINE)
    write_set(Path("set"), questions=250, speaks="q")
    corpus, qrels = Path("set/corpus.jsonl"), Path("set/qrels.tsv")
    own = Split.of(250, seed=0).held_out[:7].tolist()
    extra = [{"_id": f"own{n}", "title": "", "text": f"own d{n % TOPICS} word{n}"} for n in own]
    corpus.write_text("\n".join([corpus.read_text(), *map(json.dumps, extra)]))
    judged = [line for line in qrels.read_text().splitlines() if line.split("\t")[0] not in {f"q{n}" for n in own}]
    qrels.write_text("\n".join([*judged, *(f"q{n}\town{n}\t1" for n in own)]))
    with Pipeline.from_yaml("p.yaml") as pipeline:
        pipeline.ingest()
        examples = Examples(pipeline, load_dataset("set"))
        adapter, report = train_adapter(examples, AdapterOptions(epochs=10))
    assert report.fresh == 7
    assert report.seen == pytest.approx(40 / 47)
    at = np.array(own)
    assert report.fresh_before == pytest.approx(np.mean(examples.ndcg(at, examples.vectors[at])))
    assert report.fresh_after == pytest.approx(np.mean(examples.ndcg(at, adapter.apply(examples.vectors[at]))))
