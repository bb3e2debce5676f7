from __future__ import annotations

import dataclasses
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rag.embed.base import EmbedderIdentity
from rag.errors import (
    IndexCorruptError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    StoreError,
)
from rag.index import compaction
from rag.index.directory import IndexDirectory
from rag.index.specs import Bm25Spec, IndexSpec
from rag.types import Box, Chunk, Document, Layout, Part, Span


def test_an_index_exists_once_a_writer_was_there(index) -> None:
    assert not index.directory.exists()
    with pytest.raises(IndexNotFoundError, match="rag ingest"):
        index.directory.reader()
    index.put()
    assert index.directory.exists()
    assert index.directory.reader().size == 0


def test_a_tilde_in_the_path_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert IndexDirectory(IndexSpec(path="~/idx")).path == tmp_path / "idx"


def test_a_document_comes_back_as_it_was_put_in(index) -> None:
    document = Document(
        id="a/ü.md",
        text="one 😀\ntwo\r\n\udc80 three",
        source="/docs/ü.md",
        meta={"year": 2020, "draft": False, "score": 0.5, "author": "Ada", "none": None, "big": 2**70},
        access=("team", "boss"),
        layout=Layout((Part("page", 0, 5, "1"), Part("heading", 0, 3, "one", 2)), (Box(0, 3, 1, 1.5, 2, 3, 4),), True),
    )
    index.put(document)
    found = index.directory.reader().document("a/ü.md")
    assert found == document
    assert found.content_hash == document.content_hash
    with pytest.raises(LookupError, match="no document 'b'"):
        index.directory.reader().document("b")


def test_no_access_list_and_an_empty_one_are_told_apart(index) -> None:
    index.put(Document(id="open", text="x"), Document(id="closed", text="y", access=()))
    reader = index.directory.reader()
    assert {summary.id: summary.access for summary in reader.documents()} == {"open": None, "closed": ()}
    chunks = reader.chunks(range(reader.size))
    assert {chunk.document_id: chunk.access for chunk in chunks} == {"open": None, "closed": ()}


def test_chunks_come_back_with_context_metadata_and_in_the_order_asked(index, identity, embed) -> None:
    document = Document(id="d", text="alpha beta")
    chunks = [
        Chunk(span=Span("d", 6, 10), text="beta", context="Greek", meta={"n": 2}),
        Chunk(span=Span("d", 0, 5), text="alpha"),
    ]
    with index.directory.writer(identity) as writer:
        writer.add(document, chunks, embed(["beta", "alpha"]), stamp="", fingerprint="")
        writer.commit()
    reader = index.directory.reader()
    assert reader.chunks([1, 0, 1]) == [chunks[1], chunks[0], chunks[1]]
    assert reader.chunks_of("d") == [chunks[1], chunks[0]]
    assert reader.rows_of(chunks).tolist() == [0, 1]
    assert reader.rows_of([Chunk(span=Span("d", 0, 4), text="alph")]).tolist() == [-1]
    np.testing.assert_array_equal(reader.vectors(np.array([1, 0])), embed(["alpha", "beta"]))
    with pytest.raises(LookupError):
        reader.chunks([2])


def test_a_reader_keeps_its_generation_while_a_writer_commits(index) -> None:
    index.put(Document(id="a", text="old\nkept"))
    reader = IndexDirectory(index.spec).reader()
    index.put(Document(id="a", text="new"), Document(id="b", text="more"), compact=True)
    assert reader.document("a").text == "old\nkept"
    assert [chunk.text for chunk in reader.chunks([0, 1])] == ["old", "kept"]
    assert reader.sparse.search(["old"], k=1, allowed=None)[0].rows.tolist() == [0]
    assert index.texts() == ["more", "new"]


def test_refresh_tells_whether_there_was_something_newer(index) -> None:
    index.put(Document(id="a", text="one"))
    other = IndexDirectory(index.spec)
    before = other.reader()
    assert not other.refresh()
    index.put(Document(id="b", text="two"))
    assert other.refresh()
    assert other.reader().generation == before.generation + 1
    other.close()


def test_nothing_is_visible_before_the_commit_and_nothing_stays_without_it(index, identity, embed, lines) -> None:
    index.put(Document(id="a", text="one"))
    document = Document(id="b", text="two")
    with index.directory.writer(identity) as writer:
        writer.add(document, lines(document), embed(["two"]), stamp="", fingerprint="")
        assert writer.known("b") is not None
        assert IndexDirectory(index.spec).reader().size == 1
    index.directory.refresh()
    assert index.texts() == ["one"]


def test_replacing_and_removing_leave_no_trace_of_the_old_version(index) -> None:
    index.put(Document(id="a", text="red\ngreen"), Document(id="b", text="blue"))
    index.put(Document(id="a", text="yellow"), remove=["b"])
    assert index.texts() == ["yellow"]
    assert index.found("red green blue") == []
    assert index.found("yellow") == ["yellow"]
    with pytest.raises(LookupError):
        index.put(remove=["b"])


def test_a_commit_without_changes_is_the_same_generation(index) -> None:
    first = index.put(Document(id="a", text="one"))
    assert index.put() == first


def test_known_follows_changes_before_and_after_their_commit(index, identity, embed, lines) -> None:
    document = Document(id="a", text="one")
    with index.directory.writer(identity) as writer:
        assert writer.known("a") is None
        writer.add(document, lines(document), embed(["one"]), stamp="s1", fingerprint="f1")
        writer.touch("a", stamp="s2")
        assert writer.known("a").stamp == "s2"
        writer.commit()
        writer.touch("a", stamp="s3")
        assert writer.known("a").stamp == "s3"
        writer.commit()
    with index.directory.writer(identity) as writer:
        known = writer.known("a")
        assert (known.stamp, known.content_hash, known.fingerprint) == ("s3", document.content_hash, "f1")
        assert list(writer.document_ids()) == ["a"]
        writer.remove("a")
        assert writer.known("a") is None
        assert list(writer.document_ids()) == []
        writer.commit()
        assert list(writer.document_ids()) == []
    assert index.directory.reader().known() == {}


def test_documents_are_listed_in_order_with_changes_that_wait_and_may_be_removed_on_the_way(
    index, identity, embed, lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.index.tables.IDS", 2)  # read by pages of two
    names = ["", "a", "a\0", "b", "é", "\ud800", "\U0001f600"]
    index.put(*(Document(id=name, text="one") for name in names))
    with index.directory.writer(identity) as writer:
        for name in ("aa", "b"):  # one new, one replaced
            document = Document(id=name, text="two")
            writer.add(document, lines(document), embed(["two"]), stamp="s", fingerprint="f")
        writer.remove("a")
        assert list(writer.document_ids()) == ["", "a\0", "aa", "b", "é", "\ud800", "\U0001f600"]
        for name in writer.document_ids():
            writer.remove(name)
        writer.commit()
        assert list(writer.document_ids()) == []


def test_a_writer_does_not_wait_for_readers_of_older_generations(index) -> None:
    index.put(Document(id="a", text="one"))
    reader = IndexDirectory(index.spec).reader()
    started = time.monotonic()
    index.put(Document(id="b", text="two"))
    assert time.monotonic() - started < 10  # SQLite would wait for 30 seconds
    assert reader.size == 1


def test_a_second_writer_is_told_the_process_that_holds_the_lock(index) -> None:
    with index.directory.writer(None):
        with pytest.raises(IndexLockedError, match=f"process {os.getpid()} is writing"):
            index.put()
        code = (
            "from rag.index.directory import IndexDirectory; from rag.index.specs import IndexSpec; import sys\n"
            "with IndexDirectory(IndexSpec(path=sys.argv[1])).writer(None): pass"
        )
        other = subprocess.run([sys.executable, "-c", code, str(index.path)], capture_output=True, text=True)
        assert other.returncode != 0
        assert f"process {os.getpid()} is writing" in other.stderr
    index.put()


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"revision": "2"}, {"dimension": 4}, {"document_prompt": "p: "}, {"precision": "int8"}],
)
def test_another_model_is_refused_with_both_named(index, identity: EmbedderIdentity, change: dict[str, str]) -> None:
    index.put(Document(id="a", text="one"))
    other = dataclasses.replace(identity, **change)
    (name, value), *_ = change.items()
    for attempt in (lambda: index.directory.check(other), lambda: index.directory.writer(other).__enter__()):
        with pytest.raises(IndexMismatchError, match=re.escape(f"{name} {value!r}")) as caught:
            attempt()
        assert f"{name} {getattr(identity, name)!r}" in str(caught.value)
        assert "rag rebuild --embed-only" in str(caught.value)
    index.directory.check(identity)
    index.put(Document(id="b", text="the lock was given back"))


def test_vectors_cannot_come_and_go_within_one_index(index, open_index, lines) -> None:
    index.put(Document(id="a", text="one"))
    document = Document(id="b", text="two")
    with index.directory.writer(None) as writer, pytest.raises(IndexMismatchError, match="the pipeline makes none"):
        writer.add(document, lines(document), None, stamp="", fingerprint="")
    bare = open_index(None, name="bare")
    bare.put(document)
    assert bare.directory.reader().dense is None
    assert bare.found("two") == ["two"]
    with pytest.raises(IndexMismatchError, match="holds no vectors"):
        bare.directory.writer(index.identity).__enter__()


def test_other_terms_are_refused_by_a_reader_and_made_by_the_next_writer(index) -> None:
    index.put(Document(id="a", text="running dogs"))
    unstemmed = IndexDirectory(index.spec.model_copy(update={"sparse": Bm25Spec(stem=False)}))
    with pytest.raises(IndexMismatchError, match="unstemmed"):
        unstemmed.check(index.identity)
    with pytest.raises(IndexMismatchError, match="unstemmed"):
        assert unstemmed.reader().sparse
    unstemmed.close()
    with unstemmed.writer(index.identity):
        pass
    assert unstemmed.reader().sparse.search(["run"], k=1, allowed=None)[0].rows.tolist() == []
    assert unstemmed.reader().sparse.search(["running"], k=1, allowed=None)[0].rows.tolist() == [0]
    unstemmed.close()


def test_another_format_is_refused_with_what_to_do(index) -> None:
    index.put(Document(id="a", text="one"))
    index.directory.close()
    with sqlite3.connect(index.path / "index.sqlite") as connection:
        connection.execute("UPDATE manifest SET schema = 99")
    connection.close()
    with pytest.raises(IndexMismatchError, match="format 99") as caught:
        index.directory.reader()
    assert "rag ingest" in caught.value.hint
    assert index.directory.exists()


def test_reembedding_replaces_the_vectors_and_the_model_in_one_commit(index, identity, embed) -> None:
    index.put(Document(id="a", text="one\ntwo"), Document(id="b", text="gone"))
    index.put(Document(id="c", text="three"), remove=["b"])
    other = dataclasses.replace(identity, model="wider", dimension=16)
    asked: list[str] = []

    def wider(texts):
        asked.extend(texts)
        return embed(texts, 16)

    old = IndexDirectory(index.spec).reader()
    index.directory.reembed(other, wider)
    index.directory.refresh()
    reader = index.directory.reader()
    assert sorted(asked) == ["one", "three", "two"]
    index.directory.check(other)
    hits = reader.dense.search(embed(["three"], 16), k=1, allowed=None)[0]
    assert [chunk.text for chunk in reader.chunks(hits.rows.tolist())] == ["three"]
    assert hits.scores[0] == pytest.approx(1)
    assert old.vectors(np.array([0])).shape == (1, 8)
    assert reader.check(deep=True) == []


def test_a_failed_reembedding_changes_nothing(index, identity, embed) -> None:
    index.put(Document(id="a", text="one"))
    with pytest.raises(RuntimeError, match="no such model"):
        index.directory.reembed(identity, lambda texts: (_ for _ in ()).throw(RuntimeError("no such model")))
    with pytest.raises(ValueError, match="not finite"):
        index.directory.reembed(identity, lambda texts: embed(texts) * np.float32("nan"))
    assert not index.directory.refresh()
    assert index.directory.reader().check(deep=True) == []


def test_a_truncated_segment_is_named_with_the_command_that_mends_it(index, identity, embed) -> None:
    index.put(Document(id="a", text="one\ntwo"))
    index.directory.close()
    (segment,) = (index.path / "vectors").iterdir()
    segment.write_bytes(segment.read_bytes()[:-4])
    with pytest.raises(IndexCorruptError, match=re.escape(str(segment))) as caught:
        index.directory.reader()
    assert "rag rebuild --embed-only" in caught.value.hint
    index.directory.reembed(identity, embed)
    assert index.directory.reader().check(deep=True) == []


def test_a_missing_segment_is_corruption_and_not_an_endless_wait(index) -> None:
    index.put(Document(id="a", text="one"))
    index.directory.close()
    (segment,) = (index.path / "vectors").iterdir()
    segment.unlink()
    with pytest.raises(IndexCorruptError, match=re.escape(str(segment))):
        index.directory.reader()


def test_a_damaged_database_is_named(index) -> None:
    index.put(Document(id="a", text="one " * 10_000))
    index.directory.close()
    path = index.path / "index.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(IndexCorruptError, match=re.escape(str(path))):
        index.directory.reader()
    with pytest.raises(IndexCorruptError, match=re.escape(str(path))):
        index.directory.writer(None).__enter__()


def test_damage_inside_the_database_is_reported_by_check(index) -> None:
    index.put(*(Document(id=f"d{n}", text=f"word{n} " * 300) for n in range(40)))
    index.directory.close()
    path = index.path / "index.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(10, len(data) // 8192):
        data[page * 8192 : page * 8192 + 64] = bytes(64)
    path.write_bytes(data)
    try:
        kinds = {problem.kind for problem in index.directory.reader().check()}
    except IndexCorruptError:
        return
    assert "damaged-database" in kinds


def test_chunks_that_do_not_fit_their_document_or_vectors_are_refused(index, identity, embed) -> None:
    document = Document(id="d", text="alpha beta")
    good = Chunk(span=Span("d", 0, 5), text="alpha")
    with index.directory.writer(identity) as writer:

        def add(chunks, vectors):
            writer.add(document, chunks, vectors, stamp="", fingerprint="")

        with pytest.raises(ValueError, match="not the text of"):
            add([Chunk(span=Span("d", 1, 6), text="alpha")], embed(["alpha"]))
        with pytest.raises(ValueError, match="not the text of"):
            add([Chunk(span=Span("e", 0, 5), text="alpha")], embed(["alpha"]))
        with pytest.raises(ValueError, match="same span"):
            add([good, good], embed(["alpha", "alpha"]))
        with pytest.raises(ValueError, match=r"shape \(1, 8\)"):
            add([good], embed(["alpha", "beta"]))
        with pytest.raises(ValueError, match="float32"):
            add([good], embed(["alpha"]).astype(np.float64))
        with pytest.raises(ValueError, match="both or none"):
            add([good], None)
        assert writer.commit() == 0


def test_many_threads_share_one_reader(index) -> None:
    index.put(*(Document(id=f"d{n}", text=f"common word{n}\nother line{n}") for n in range(200)))
    reader = index.directory.reader()
    problems: list[BaseException] = []

    def read(seed: int) -> None:
        try:
            for n in range(seed, seed + 60):
                hits = reader.sparse.search([f"word{n} common"], k=5, allowed=None)[0]
                assert reader.chunks(hits.rows.tolist())[0].text == f"common word{n}"
                assert reader.document(f"d{n}").id == f"d{n}"
                assert reader.rows_of(reader.chunks_of(f"d{n}")).tolist() == [2 * n, 2 * n + 1]
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 140, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_folder_that_cannot_be_written_to_can_be_read(index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.put(Document(id="a", text="one"))
    index.directory.close()
    monkeypatch.setattr("rag.index.database.os.access", lambda path, mode: False)
    assert index.texts() == ["one"]


def test_a_full_disk_is_a_store_error_and_the_commit_can_be_repeated(
    index, identity, embed, lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.put(Document(id="a", text="one"))
    document = Document(id="b", text="two")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with index.directory.writer(identity) as writer:
        writer.add(document, lines(document), embed(["two"]), stamp="", fingerprint="")
        with monkeypatch.context() as patch:
            patch.setattr("rag.index.segments.os.fsync", full)
            with pytest.raises(StoreError, match="No space left on device"):
                writer.commit()
        assert len(list((index.path / "vectors").iterdir())) == 1
        assert IndexDirectory(index.spec).reader().size == 1
        writer.commit()
    index.directory.refresh()
    assert index.texts() == ["one", "two"]


def test_stats_count_what_is_there(index) -> None:
    index.put(Document(id="a", text="one\ntwo"), Document(id="b", text="three"))
    index.put(remove=["b"])
    stats = index.directory.reader().stats()
    assert (stats.generation, stats.documents, stats.chunks, stats.dead, stats.segments) == (2, 1, 2, 1, 1)
    assert (stats.characters, stats.vector_bytes, stats.dense) == (7, 3 * 8 * 4, "fake")


def test_opening_a_spec_costs_no_import_of_heavy_modules(tmp_path: Path) -> None:
    code = (
        "import sys; from rag.index.specs import IndexSpec; spec = IndexSpec(path=sys.argv[1])\n"
        "heavy = {'numpy', 'faiss', 'chromadb', 'torch', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from rag.index.directory import IndexDirectory\n"
        "with IndexDirectory(spec).writer(None) as writer: writer.commit()\n"
        "reader = IndexDirectory(spec).reader(); reader.dense, reader.sparse\n"
        "heavy = {'faiss', 'chromadb', 'torch', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "index")], check=True)


def test_a_relative_path_counts_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with IndexDirectory(IndexSpec(path="here/index")).writer(None) as writer:
        writer.commit()
    assert (tmp_path / "here/index/index.sqlite").is_file()


def test_merging_a_segment_whose_rows_are_all_deleted_keeps_the_rest(index) -> None:
    index.put(Document(id="a", text="one"), Document(id="empty", text=""))
    index.put(Document(id="b", text="two\nthree"))
    index.put(remove=["a"])
    index.put(remove=["empty"], compact=True)  # was: memoryview: cannot cast view with zeros in shape
    assert index.texts() == ["three", "two"]
    index.directory.refresh()
    assert index.directory.reader().check(deep=True) == []
    index.put(remove=["b"], compact=True)
    index.directory.refresh()
    assert (index.directory.reader().rows, list((index.path / "vectors").iterdir())) == (0, [])


def test_merged_segments_are_bounded_and_hold_what_was_put_in(index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "ROWS_MOST", 6)
    names = [f"number{at}" for at in range(17)]
    for name in names:
        index.put(Document(id=name, text=f"{name} of many"))
    generation = index.put(remove=["number3"])
    index.put(compact=True)
    assert index.texts() == sorted(f"{name} of many" for name in names if name != "number3")
    assert index.found("number11 of many")[:1] == ["number11 of many"]
    reader = index.directory.reader()
    assert reader.check(deep=True) == []
    assert reader.manifest.generation > generation + 1  # each merge is a commit: a disk full later loses none
    # By hand: 17 segments of one row; six by six merge into two full ones, what is left is few.
    sizes = [segment.rows for segment in reader.segments]
    assert sum(sizes) == 16
    assert max(sizes) <= 6
    assert len(sizes) <= 6
