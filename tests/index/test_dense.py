from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import BackendError, IndexMismatchError
from rag.index.exact import ExactIndex
from rag.index.ranking import best
from rag.index.segments import SegmentedVectors
from rag.index.specs import (
    BinarySpec,
    ChromaSpec,
    DenseIndexSpec,
    ExactSpec,
    HnswSpec,
    Int8Spec,
    IvfPqSpec,
    MatryoshkaSpec,
    PcaSpec,
)
from rag.types import Condition, Document

SPECS: list[DenseIndexSpec] = [
    ExactSpec(),
    HnswSpec(),
    IvfPqSpec(lists=4, probes=3, subquantizers=8, rescore=60),
    PcaSpec(variance=0.95, rescore=20),
    MatryoshkaSpec(dimension=8, rescore=100),
    Int8Spec(),
    BinarySpec(rescore=30),
    ChromaSpec(),
]


@pytest.fixture
def always_approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small indexes would be searched exactly, and have too few vectors to train 256 centroids on."""
    monkeypatch.setattr("rag.index.approximate.EXACT_ROWS", 0)
    monkeypatch.setattr("rag.index.codes.LEAST", 0)
    monkeypatch.setattr("rag.index.ann.BITS", 4)
    faiss.omp_set_num_threads(1)  # on a busy machine its threads wait for each other


def unit(rows: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def segmented(
    folder: Path, *parts: np.ndarray, dead: tuple[int, ...] = (), key: str = "index model"
) -> SegmentedVectors:
    rows = sum(map(len, parts))
    live = np.ones(rows, np.bool_)
    live[list(dead)] = False
    return SegmentedVectors(folder, key, parts[0].shape[1], parts, np.arange(100, 100 + rows), live)


def built(spec: DenseIndexSpec, vectors: SegmentedVectors):
    if isinstance(spec, ChromaSpec):
        pytest.importorskip("chromadb", reason="the extra `chroma` is not installed")
    return spec.build(vectors)


def test_the_best_are_exact_where_a_tie_is_cut() -> None:
    scores = np.array([0.5, 1, 0.5, 0.5, 2, 0.5], np.float32)
    rows, top = best(scores, np.arange(10, 16), k=4)
    assert rows.tolist() == [14, 11, 10, 12]
    assert top.tolist() == [2, 1, 0.5, 0.5]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=40), st.integers(1, 50))
def test_the_best_are_what_sorting_everything_gives(scores: list[float], k: int) -> None:
    rows, top = best(np.array(scores, np.float32), np.arange(len(scores)), k=k)
    expected = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
    assert rows.tolist() == expected
    assert top.tolist() == [scores[row] for row in expected]


def test_exact_search_is_the_inner_product_with_every_live_row(tmp_path: Path) -> None:
    a, b = unit(30, seed=1), unit(20, seed=2)
    vectors, queries = segmented(tmp_path, a, b, dead=(3, 31)), unit(40, seed=3)
    every = np.concatenate([a, b])
    hits = ExactIndex(vectors).search(queries, k=5, allowed=None)
    assert len(hits) == 40
    for query, hit in zip(queries, hits, strict=True):
        expected = every.astype(np.float64) @ query
        expected[[3, 31]] = -9
        assert hit.rows.tolist() == np.argsort(-expected)[:5].tolist()
        assert hit.scores.tolist() == pytest.approx(np.sort(expected)[::-1][:5].tolist(), abs=1e-6)
        seen, approx = expected[expected > -2], partial(pytest.approx, abs=1e-6)
        assert (hit.mean, hit.deviation, hit.size) == (approx(seen.mean()), approx(seen.std()), 48)


def test_a_score_is_the_same_to_the_last_bit_alone_in_a_batch_and_asked_for(tmp_path: Path) -> None:
    vectors, queries = segmented(tmp_path, unit(3000, 48), unit(2500, 48, seed=5)), unit(18, 48, seed=6)
    index = ExactIndex(vectors)
    together = index.search(queries, k=50, allowed=None)
    for query, hit in zip(queries, together, strict=True):
        (alone,) = index.search(query[np.newaxis], k=50, allowed=None)
        assert (alone.rows.tolist(), alone.scores.tolist()) == (hit.rows.tolist(), hit.scores.tolist())
        assert hit.score(hit.rows).tolist() == hit.scores.tolist()
    assert together[0].score(np.array([-1])).tolist() == [np.float32(together[0].mean)]


def test_an_empty_index_and_an_empty_mask_have_no_hits(tmp_path: Path) -> None:
    empty = segmented(tmp_path, np.empty((0, 16), np.float32))
    (hit,) = ExactIndex(empty).search(unit(1), k=5, allowed=None)
    assert (hit.rows.tolist(), hit.mean, hit.deviation, hit.size) == ([], 0, 0, 0)
    full = segmented(tmp_path, unit(5))
    for spec in SPECS:
        (hit,) = built(spec, full).search(unit(1), k=5, allowed=np.zeros(5, np.bool_))
        assert (hit.rows.tolist(), hit.size) == ([], 0)


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.use)
def test_approximate_search_finds_nearly_all_and_scores_exactly(spec: DenseIndexSpec, tmp_path: Path) -> None:
    # Clustered as text is: without clusters every vector is about as far as every other.
    centres = unit(40, 32, seed=7)
    rows = centres[np.random.default_rng(8).integers(40, size=6000)] + 0.3 * unit(6000, 32, seed=9)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    vectors, queries = segmented(tmp_path, rows[:4000], rows[4000:], dead=tuple(range(0, 6000, 50))), rows[5:45]
    exact = ExactIndex(vectors).search(queries, k=10, allowed=None)
    found = built(spec, vectors).search(queries, k=10, allowed=None)
    shared = [len(set(a.rows.tolist()) & set(b.rows.tolist())) for a, b in zip(exact, found, strict=True)]
    assert sum(shared) >= 0.95 * 400
    for a, b in zip(exact, found, strict=True):
        scores = dict(zip(a.rows.tolist(), a.scores.tolist(), strict=True))
        assert all(
            score == scores.get(row, score) for row, score in zip(b.rows.tolist(), b.scores.tolist(), strict=True)
        )
        assert b.mean == pytest.approx(a.mean, abs=0.1 * a.deviation)
        assert b.deviation == pytest.approx(a.deviation, rel=0.1)
        assert b.size == a.size


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.use)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    allowed=st.lists(st.booleans(), min_size=300, max_size=300), dead=st.sets(st.integers(0, 299)), k=st.integers(1, 40)
)
def test_a_forbidden_or_deleted_row_is_never_returned(
    spec: DenseIndexSpec, tmp_path: Path, allowed: list[bool], dead: set[int], k: int
) -> None:
    vectors = segmented(tmp_path / uuid.uuid4().hex, unit(300, seed=4), dead=tuple(dead))
    mask = np.array(allowed)
    for hit in built(spec, vectors).search(unit(3, seed=5), k=k, allowed=mask):
        visible = np.flatnonzero(mask & vectors.live)
        assert set(hit.rows.tolist()) <= set(visible.tolist())
        assert len(hit.rows) == min(k, len(visible))
        assert hit.size == len(visible)


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.use)
def test_what_a_principal_may_not_see_leaves_neither_retriever(spec: DenseIndexSpec, open_index, embed) -> None:
    built(spec, segmented(Path("unused"), unit(1)))
    index = open_index(spec)
    names = ["ada", "bob", "cyd"]
    documents = [
        Document(id=f"d{n}", text=f"shared word{n}\nshared more{n}", access=None if n % 4 == 3 else (names[n % 4],))
        for n in range(120)
    ]
    index.put(*documents)
    index.put(documents[0], remove=["d4"])
    reader = index.directory.reader()
    for principals, visible in [(frozenset(), 0), (frozenset({"ada"}), 29 * 2), (frozenset({"ada", "bob"}), 59 * 2)]:
        allowed = reader.allowed(None, principals)
        dense = reader.dense.search(embed(["shared word8"]), k=500, allowed=allowed)
        sparse = reader.sparse.search(["shared word8"], k=500, allowed=allowed)
        for hits in (*dense, *sparse):
            seen = {chunk.document_id for chunk in reader.chunks(hits.rows.tolist())}
            assert all(int(name[1:]) % 4 in [names.index(principal) for principal in principals] for name in seen)
            assert len(hits.rows) == hits.size == visible
    narrow = reader.allowed(Condition(op="exists", field="nothing"), frozenset({"ada"}))
    assert reader.dense.search(embed(["shared"]), k=5, allowed=narrow)[0].rows.tolist() == []


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS[1:], ids=lambda spec: spec.use)
def test_a_derived_index_follows_additions_removals_and_merges(spec: DenseIndexSpec, open_index, embed) -> None:
    built(spec, segmented(Path("unused"), unit(1)))
    index = open_index(spec)

    def nearest(text: str) -> str:
        reader = index.directory.reader()
        (hits,) = reader.dense.search(embed([text]), k=1, allowed=None)
        return reader.chunks(hits.rows.tolist())[0].text

    index.put(*(Document(id=f"d{n}", text=f"text {n}") for n in range(400)))
    assert nearest("text 7") == "text 7"
    index.put(Document(id="d7", text="changed"), Document(id="new", text="text new"))
    assert nearest("text new") == "text new"
    assert nearest("changed") == "changed"
    assert nearest("text 7") != "text 7"
    index.put(remove=[f"d{n}" for n in range(100, 300)], compact=True)
    assert nearest("text 50") == "text 50"
    assert nearest("text 200") != "text 200"
    assert nearest("text 350") == "text 350"


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("damage", ["cut", "flip", "note", "gone"])
def test_a_damaged_derived_file_is_rebuilt_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, vectors = HnswSpec(), segmented(tmp_path, unit(600))
    expected = spec.build(vectors).search(unit(5, seed=2), k=5, allowed=None)
    file, note = tmp_path / f"{spec.use}.faiss", tmp_path / f"{spec.use}.json"
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "note":
        note.write_text("{")
    else:
        note.unlink()
    with caplog.at_level(logging.INFO):
        found = spec.build(vectors).search(unit(5, seed=2), k=5, allowed=None)
    assert [hit.rows.tolist() for hit in found] == [hit.rows.tolist() for hit in expected]
    assert any("building" in record.message for record in caplog.records)
    assert any(record.levelno == logging.WARNING for record in caplog.records) == (damage != "gone")
    assert json.loads(note.read_text())["chunks"] == vectors.chunks.tolist()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        spec.build(vectors).search(unit(1), k=5, allowed=None)
    assert caplog.records == []


@pytest.mark.usefixtures("always_approximate")
def test_files_of_another_index_or_model_are_not_used(tmp_path: Path) -> None:
    HnswSpec().build(segmented(tmp_path, unit(300, seed=1))).search(unit(1), k=1, allowed=None)
    other = segmented(tmp_path, unit(300, seed=2), key="index other-model")
    (hit,) = HnswSpec().build(other).search(unit(300, seed=2)[:1], k=1, allowed=None)
    assert hit.rows.tolist() == [0]
    assert hit.scores[0] == pytest.approx(1)


@pytest.mark.usefixtures("always_approximate")
def test_a_damaged_chroma_folder_is_rebuilt_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = segmented(tmp_path, unit(100))
    built(ChromaSpec(), vectors).search(unit(1), k=3, allowed=None)
    from rag.index.chroma import _forget_clients

    _forget_clients()
    (tmp_path / "chroma" / "chroma.sqlite3").write_bytes(b"not a database" * 100)
    (hit,) = ChromaSpec().build(vectors).search(unit(1), k=3, allowed=None)
    assert hit.rows.tolist() == ExactIndex(vectors).search(unit(1), k=3, allowed=None)[0].rows.tolist()
    assert any("is damaged and is rebuilt" in record.message for record in caplog.records)


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("chromadb", reason="the extra `chroma` is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--host", "127.0.0.1", "--port", str(port)]
    folder = tmp_path_factory.mktemp("chroma")
    server = subprocess.Popen([*command, "--path", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, "the Chroma server ended"
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.mark.slow
@pytest.mark.usefixtures("always_approximate")
def test_a_chroma_server_holds_one_collection_an_index(chroma_server: str, tmp_path: Path) -> None:
    spec = ChromaSpec(url=chroma_server, collection="mine")
    vectors = segmented(tmp_path, unit(300))
    expected = ExactIndex(vectors).search(unit(4, seed=1), k=5, allowed=None)
    found = spec.build(vectors).search(unit(4, seed=1), k=5, allowed=None)
    assert [hit.rows.tolist() for hit in found] == [hit.rows.tolist() for hit in expected]
    with pytest.raises(IndexMismatchError, match="belongs to another index"):
        spec.build(segmented(tmp_path, unit(300), key="second model")).search(unit(1), k=5, allowed=None)


@pytest.mark.usefixtures("always_approximate")
def test_a_chroma_server_that_does_not_answer_is_a_backend_error(tmp_path: Path) -> None:
    pytest.importorskip("chromadb", reason="the extra `chroma` is not installed")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(BackendError, match=url):
            ChromaSpec(url=url).build(segmented(tmp_path, unit(10))).search(unit(1), k=1, allowed=None)


def test_without_the_extra_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.errors import MissingExtraError

    monkeypatch.setattr("rag.index.approximate.EXACT_ROWS", 0)
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ragloom\[chroma\]"'):
        ChromaSpec().build(segmented(tmp_path, unit(10))).search(unit(1), k=1, allowed=None)
