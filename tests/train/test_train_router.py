from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rag import Pipeline
from rag.cli.train import train
from rag.embed.adapter import Adapter
from rag.embed.routed import Router
from rag.errors import ConfigError
from rag.evaluate.datasets import load_dataset
from rag.train.adapter import AdapterOptions, train_adapter
from rag.train.examples import Examples
from rag.train.router import train_router
from rag.train.split import Split

KINDS, TOPICS = ("law", "sea"), 6
PIPELINE = """
version: 1
ingest:
  load: [{use: rows, path: corpus.jsonl}]
  embed: {use: hash, dimension: 256}
  index: {path: index}
"""


@pytest.fixture
def pipeline(own_directory: Path) -> Pipeline:
    """Two sets in one index that contradict each other: question topic n means document topic n in one, n + 1 in the
    other."""
    Path("p.yaml").write_text(PIPELINE)
    random, documents = np.random.default_rng(3), []
    for turn, kind in enumerate(KINDS):
        Path(kind).mkdir()
        own = [f"{kind}{n}" for n in range(3 * TOPICS)]
        mine = [{"_id": name, "title": "", "text": f"d{at % TOPICS} {kind}"} for at, name in enumerate(own)]
        documents += mine
        asked = [{"_id": f"q{n}", "text": f"{kind} q{n % TOPICS} w{random.integers(50)}"} for n in range(210)]
        judged = [(n, d) for n in range(210) for d in range(3 * TOPICS) if d % TOPICS == (n + turn) % TOPICS]
        Path(kind, "corpus.jsonl").write_text("\n".join(map(json.dumps, mine)))
        Path(kind, "queries.jsonl").write_text("\n".join(map(json.dumps, asked)))
        Path(kind, "qrels.tsv").write_text("\n".join(f"q{n}\t{kind}{d}\t1" for n, d in judged))
    Path("corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    made = Pipeline.from_yaml("p.yaml")
    made.ingest()
    return made


def test_a_split_is_three_fifths_one_and_one_and_the_same_again() -> None:
    split = Split.of(23, seed=1)
    assert [len(part) for part in (split.training, split.validation, split.held_out)] == [15, 4, 4]
    assert sorted(np.concatenate([split.training, split.validation, split.held_out]).tolist()) == list(range(23))
    assert Split.of(23, seed=1).held_out.tolist() == split.held_out.tolist()


def test_questions_go_to_the_expert_of_their_kind(pipeline: Pipeline) -> None:
    sets = [Examples(pipeline, load_dataset(kind)) for kind in KINDS]
    experts = [train_adapter(examples, AdapterOptions(epochs=30))[0] for examples in sets]
    router, report = train_router(sets, experts, aggregate="max", least_margin=0.02, seed=0)
    assert (report.training, report.held_out) == (336, 84)
    assert report.gained
    assert report.plain < max(report.experts) < report.routed <= report.best
    for turn, examples in enumerate(sets, 1):
        chosen = router.choose(examples.vectors, aggregate="max", least_margin=0.0)
        assert np.mean(chosen == turn) > 0.5
        assert np.mean(np.isin(chosen, [0, turn])) > 0.9  # the encoder alone is right for some, the other hardly


def test_experts_that_change_nothing_gain_nothing(pipeline: Pipeline) -> None:
    nothing = np.zeros((256, 1), np.float32)
    sets = [Examples(pipeline, load_dataset(KINDS[0]))]
    router, report = train_router(sets, [Adapter(nothing, nothing)], aggregate="max", least_margin=0.02, seed=0)
    assert router.owners.tolist() == [0]
    assert report.plain == report.experts[0] == report.routed == report.best
    assert not report.gained
    with pytest.raises(ConfigError, match="at least one expert"):
        train_router(sets, [], aggregate="max", least_margin=0.02, seed=0)


def test_the_command_writes_a_router_that_embeds(pipeline: Pipeline) -> None:
    for kind in KINDS:
        trained = ["adapter", "p.yaml", kind, "--out", f"{kind}.safetensors", "--epochs", "30"]
        assert CliRunner().invoke(train, trained, catch_exceptions=False).exit_code == 0
    arguments = ["router", "p.yaml", *KINDS, "--out", "r.safetensors"]
    arguments += [part for kind in KINDS for part in ("--expert", f"{kind}.safetensors")]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "r.safetensors written" in done.output
    assert len(Router.load(Path("r.safetensors"), identity=pipeline.embedder.identity).experts) == 2
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        CliRunner().invoke(train, arguments, catch_exceptions=False)
