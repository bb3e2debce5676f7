from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag import Pipeline
from rag.errors import ConfigError
from rag.index.binary import BinaryIndex, packed, words
from rag.index.int8 import scalar_quantizer
from rag.index.pca import PcaIndex, principal_axes
from rag.index.segments import SegmentedVectors
from rag.index.specs import BinarySpec, DenseIndexSpec, MatryoshkaSpec, PcaSpec
from rag.index.tensors import map_tensors, write_tensors
from rag.retrieve.specs import DenseRetrieverSpec
from rag.testing import check_retriever
from rag.testing.sample import TEXTS

SPECS: list[DenseIndexSpec] = [
    PcaSpec(dimension=6, rescore=20),
    MatryoshkaSpec(dimension=8, rescore=50),
    BinarySpec(rescore=20),
]


@pytest.fixture
def always_approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.index.approximate.EXACT_ROWS", 0)
    monkeypatch.setattr("rag.index.codes.LEAST", 0)


def unit(rows: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def segmented(folder: Path, part: np.ndarray, dead: tuple[int, ...] = ()) -> SegmentedVectors:
    live = np.ones(len(part), np.bool_)
    live[list(dead)] = False
    return SegmentedVectors(folder, "index model", part.shape[1], [part], np.arange(100, 100 + len(part)), live)


def test_four_points_have_the_axes_and_the_shares_worked_out_by_hand() -> None:
    # Around (0, 0): variance (4 + 4) / 4 = 2 along x and (1 + 1) / 4 = 0.5 along y; 2 / 2.5 = 0.8.
    mean, axes, shares = principal_axes(np.array([[2, 0], [0, 1], [-2, 0], [0, -1]], np.float32))
    assert mean.tolist() == [0, 0]
    assert np.abs(axes).tolist() == [[1, 0], [0, 1]]
    assert (axes.max(axis=1) == 1).all()  # the largest loading is positive
    assert shares.tolist() == pytest.approx([0.8, 0.2])


def test_axes_are_those_of_a_singular_value_decomposition() -> None:
    vectors = unit(200, 12, seed=1) * np.linspace(3, 0.5, 12, dtype=np.float32)
    mean, axes, shares = principal_axes(vectors)
    _, singular, expected = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    assert mean == pytest.approx(vectors.mean(axis=0), abs=1e-6)
    assert np.abs(axes) == pytest.approx(np.abs(expected), abs=1e-3)
    assert shares == pytest.approx(singular**2 / (singular**2).sum(), abs=1e-6)


@pytest.mark.usefixtures("always_approximate")
def test_with_all_axes_codes_rank_by_the_inner_product_itself(tmp_path: Path) -> None:
    vectors = segmented(tmp_path, unit(500, 16, seed=2) + 0.3)  # far from centred
    index = PcaIndex(vectors, dimension=16, variance=0.9, oversample=1)
    query = unit(1, 16, seed=3)
    (found,) = index.find(query, k=20, allowed=vectors.live)
    assert set(found.tolist()) == set(np.argsort(-(vectors.parts[0] @ query[0]))[:20].tolist())


def test_few_asked_for_are_found_among_many_candidates(tmp_path: Path) -> None:
    vectors = segmented(tmp_path, unit(3000))
    index = BinaryIndex(vectors, oversample=8)
    query = unit(1, seed=1)[0]
    distances = ((vectors.parts[0] > 0) != (query > 0)).sum(axis=1)
    for k, least in [(10, 1024), (132, 1056)]:
        (rows,) = index.find(query[np.newaxis], k=k, allowed=vectors.live)
        assert rows.tolist() == np.flatnonzero(distances <= np.sort(distances)[least - 1]).tolist()


def test_as_many_axes_are_kept_as_explain_the_variance(tmp_path: Path) -> None:
    points = np.array([[2, 0], [0, 1], [-2, 0], [0, -1]], np.float32)
    for variance, axes in [(0.5, 1), (0.79, 1), (0.81, 2)]:
        index = PcaIndex(segmented(tmp_path, points), dimension=None, variance=variance, oversample=1)
        assert index._fit(points)["axes"].shape == (2, axes)


@pytest.mark.usefixtures("always_approximate")
def test_more_axes_than_vectors_are_an_error(tmp_path: Path) -> None:
    index = PcaSpec(dimension=9).build(segmented(tmp_path, unit(8)))
    with pytest.raises(ConfigError, match=r"at most 8 \(8 vectors of 16 dimensions\), got 9"):
        index.search(unit(1), k=2, allowed=None)
    with pytest.raises(ConfigError, match="at most 16, the embedder's, got 17"):
        MatryoshkaSpec(dimension=17).build(segmented(tmp_path, unit(30))).search(unit(1), k=2, allowed=None)


def test_bits_are_the_signs_first_dimension_highest_and_zero_is_no_bit() -> None:
    # + - 0 + - + - +  is  1 0 0 1 0 1 0 1  is  128 + 16 + 4 + 1
    values = np.array([[0.1, -0.25, 0, 0.3, -0.4, 0.5, -0.61, 0.7]], np.float32)
    assert packed(values).tolist() == [[149]]


def test_bytes_are_the_steps_of_the_range() -> None:
    # floor((x + 1) / 2 * 255) - 128: 0.1 is 140.25, 12; -0.25 is 95.6, -33; and so on.
    index = scalar_quantizer(8)
    index.train(np.array([[-1] * 8, [1] * 8], np.float32))
    codes = index.sa_encode(np.array([[0.1, -0.25, 0, 0.3, -0.4, 0.5, -0.61, 0.7]], np.float32))
    assert (codes.astype(int) - 128).tolist() == [[12, -33, -1, 37, -52, 63, -79, 88]]
    beyond = index.sa_encode(np.array([[-3] * 4 + [3] * 4], np.float32))
    assert (beyond.astype(int) - 128).tolist() == [[-128] * 4 + [127] * 4]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 150).flatmap(lambda d: arrays(np.float32, (5, d), elements=st.floats(-1, 1, width=32))))
def test_the_distance_is_the_number_of_signs_that_differ(vectors: np.ndarray) -> None:
    index = BinaryIndex(segmented(Path("unused"), vectors), oversample=1)
    fitted = index._fit(vectors)
    scores = index._scores(fitted, index._encode(fitted, vectors[1:]), vectors[0])
    assert (-scores).tolist() == [int(((row > 0) != (vectors[0] > 0)).sum()) for row in vectors[1:]]


def test_a_code_of_any_width_is_whole_words() -> None:
    assert words(np.array([[1, 2, 3]], np.uint8)).shape == (1, 1)
    assert words(np.ones((2, 9), np.uint8)).shape == (2, 2)


def test_tensors_come_back_mapped_and_read_only(tmp_path: Path) -> None:
    written = {
        "a": unit(3, 5),
        "b": np.arange(7, dtype=np.uint64).reshape(1, 7),
        "c": np.array([-1]),
        "empty": np.empty((0, 4), np.float32),
    }
    write_tensors(tmp_path / "t", written)
    read = map_tensors(tmp_path / "t")
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert (read[name].dtype, read[name].tolist()) == (tensor.dtype, tensor.tolist())
        assert not read[name].flags.writeable


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.use)
@pytest.mark.parametrize("damage", ["cut", "flip", "note", "gone", "header"])
def test_a_damaged_file_of_codes_is_made_anew(
    spec: DenseIndexSpec, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = segmented(tmp_path, unit(600))
    expected = spec.build(vectors).search(unit(5, seed=2), k=5, allowed=None)
    file, note = tmp_path / f"{spec.use}.safetensors", tmp_path / f"{spec.use}.json"
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        file.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    elif damage == "header":
        file.write_bytes(b"\xff" * 8 + data[8:])
    elif damage == "note":
        note.write_text("{")
    else:
        note.unlink()
    with caplog.at_level(logging.INFO):
        found = spec.build(vectors).search(unit(5, seed=2), k=5, allowed=None)
    assert [hit.rows.tolist() for hit in found] == [hit.rows.tolist() for hit in expected]
    assert any("making" in record.message for record in caplog.records)
    assert any(record.levelno == logging.WARNING for record in caplog.records) == (damage != "gone")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        spec.build(vectors).search(unit(1), k=5, allowed=None)
    assert caplog.records == []


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.use)
def test_new_chunks_are_coded_as_fitted_and_at_twice_the_chunks_all_are_coded_anew(
    spec: DenseIndexSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every, query = unit(400, seed=4), unit(1, seed=5)

    def opened(rows: int, dead: tuple[int, ...] = ()) -> tuple[list[str], list[int]]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            spec.build(segmented(tmp_path, every[:rows], dead)).search(query, k=3, allowed=None)
        note = json.loads((tmp_path / f"{spec.use}.json").read_text())
        return [record.message for record in caplog.records], note["chunks"]

    assert len(opened(200)[0]) == 1
    messages, chunks = opened(399)
    assert (messages, chunks) == ([], list(range(100, 499)))
    assert len(opened(400)[0]) == (spec.use == "pca")  # nothing else is fitted
    messages, chunks = opened(400, dead=tuple(range(80)))
    assert (messages, len(chunks)) == ([], 400)
    messages, chunks = opened(400, dead=tuple(range(81)))
    assert (len(messages), chunks) == (1, list(range(181, 500)))


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.use)
def test_other_options_make_another_file(spec: DenseIndexSpec, tmp_path: Path) -> None:
    vectors = segmented(tmp_path, unit(300))
    spec.build(vectors).search(unit(1), k=3, allowed=None)
    note = tmp_path / f"{spec.use}.json"
    before = json.loads(note.read_text())["key"]
    changed = {"pca": {"dimension": 5}, "matryoshka": {"dimension": 4}}
    spec.model_copy(update=changed[spec.use]).build(vectors).search(unit(1), k=3, allowed=None)
    assert json.loads(note.read_text())["key"] != before


@pytest.mark.usefixtures("always_approximate")
@pytest.mark.parametrize(
    "dense",
    ["{use: pca, variance: 0.9}", "{use: matryoshka, dimension: 32}", "{use: int8}", "{use: binary, rescore: 4}"],
)
def test_a_retriever_over_codes_keeps_the_contract(
    dense: str, own_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.retrieve.dense.MARGIN", 0)  # or it would ask for all chunks of the sample
    Path("docs").mkdir()
    for name, text in TEXTS.items():
        Path("docs", Path(name).name).write_text(text, encoding="utf-8")
    overrides = ["ingest.load=[{use: files, root: docs}]", "ingest.embed={use: hash}", f"ingest.index.dense={dense}"]
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        pipeline.ingest()
        check_retriever(DenseRetrieverSpec(k=3).build(pipeline._built.resources), k=3)
        (file,) = (path for path in Path(".ragloom/index/dense").iterdir() if path.suffix != ".json")
        assert file.stem in dense  # searched by codes, not exactly
