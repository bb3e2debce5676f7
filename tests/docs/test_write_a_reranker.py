from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag.registry
from rag.pipeline.spec import load_spec
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

PAGE = Path(__file__).parents[2] / "docs" / "write-a-reranker.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's first block as `phrases.py`, importable; forgotten and unregistered afterwards."""
    (tmp_path / "phrases.py").write_text(BLOCKS[0][1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(rag.registry, "_registered", {})
    yield tmp_path
    sys.modules.pop("phrases", None)


def test_every_block_runs_and_the_pipeline_loads(module: Path) -> None:
    for at, (language, code) in enumerate(BLOCKS):
        if language == "python":
            (module / f"block_{at}.py").write_text(code, encoding="utf-8")
            runpy.run_path(str(module / f"block_{at}.py"))
    [pipeline] = [code for language, code in BLOCKS if language == "yaml"]
    (module / "pipeline.yaml").write_text(pipeline, encoding="utf-8")
    [reranker] = load_spec(module / "pipeline.yaml").spec.ask.rerank
    assert (reranker.use, reranker.keep) == ("phrases", 8)


def test_the_entry_point_of_the_page_names_the_spec_of_the_page(module: Path) -> None:
    [text] = [code for language, code in BLOCKS if language == "toml"]
    [(name, value)] = tomllib.loads(text)["project"]["entry-points"]["rag.rerank"].items()
    imported, _, attribute = value.partition(":")
    spec = getattr(__import__(imported), attribute)
    assert spec().use == name


def test_the_reranker_of_the_page_prefers_quoted_phrases(module: Path) -> None:
    from phrases import PhraseReranker  # type: ignore[import-not-found]  # written by the fixture

    texts = ["Leave is given.", "You may Carry Over leave.", "Nothing."]
    hits = [ScoredChunk(Chunk(span=Span("a", at, at + 1), text=text), 3.0 - at, "x") for at, text in enumerate(texts)]
    [ranking] = PhraseReranker(keep=2).rerank([Query(text='how do I "carry over" leave?')], [Ranking(tuple(hits))])
    assert [hit.chunk.text for hit in ranking] == [texts[1], texts[0]]
