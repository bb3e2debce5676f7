"""The n-gram index as part of an index directory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.index.counts import Count
from rag.index.directory import IndexDirectory
from rag.index.ngrams.index import NgramIndex
from rag.index.specs import IndexSpec, NgramsSpec
from rag.types import Chunk, Document, Span


def directory(path: Path, ngrams: NgramsSpec | None = NgramsSpec()) -> IndexDirectory:  # noqa: B008
    return IndexDirectory(IndexSpec(path=str(path), dense=None, ngrams=ngrams))


def put(index: IndexDirectory, texts: dict[str, str], *, remove: tuple[str, ...] = (), compact: bool = True) -> None:
    with index.writer(None) as writer:
        for name, text in texts.items():
            whole = Chunk(span=Span(name, 0, len(text)), text=text)
            writer.add(Document(id=name, text=text), [whole, half(whole)], None, stamp="", fingerprint="")
        for name in remove:
            writer.remove(name)
        writer.commit()
        if compact:
            writer.compact()
    index.refresh()


def half(chunk: Chunk) -> Chunk:
    """Overlaps the other chunk: what both hold must not count twice."""
    end = len(chunk.text) // 2
    return Chunk(span=Span(chunk.span.document_id, 0, end), text=chunk.text[:end])


def ngrams(index: IndexDirectory) -> NgramIndex:
    found = index.reader().ngrams
    assert found is not None
    return found


def test_the_end_of_an_ingest_counts_the_documents_not_their_chunks(tmp_path: Path) -> None:
    index = directory(tmp_path)
    put(index, {"a": "the cat and the dog", "b": "the end"})
    assert [path.name for path in (tmp_path / "ngrams").rglob("*.safetensors")] == ["000001.safetensors"]
    assert ngrams(index).count("the") == Count(3)


def test_a_reader_keeps_the_counts_of_its_generation(tmp_path: Path) -> None:
    index = directory(tmp_path)
    put(index, {"a": "old words", "b": "more words"})
    before = ngrams(index)
    put(index, {"a": "new"}, remove=("b",))
    assert before.count("words") == Count(2)
    assert ngrams(index).count("words") == Count(0)
    assert ngrams(index).count("new") == Count(1)


def test_an_index_made_without_counts_makes_them_when_first_asked(tmp_path: Path) -> None:
    put(directory(tmp_path, None), {"a": "the cat"})
    assert not (tmp_path / "ngrams").exists()
    assert directory(tmp_path, None).reader().ngrams is None
    assert ngrams(directory(tmp_path)).count("cat") == Count(1)
    assert (tmp_path / "ngrams").exists()


def test_counts_follow_commits_that_were_not_compacted(tmp_path: Path) -> None:
    index = directory(tmp_path)
    for number in range(4):
        put(index, {str(number): "one more"}, compact=False)
    assert ngrams(index).count("one more") == Count(4)


def test_pipelines_with_different_words_share_an_index(tmp_path: Path) -> None:
    put(directory(tmp_path), {"a": "May may"})
    assert ngrams(directory(tmp_path, NgramsSpec(lowercase=False))).count("may") == Count(1)
    assert ngrams(directory(tmp_path)).count("may") == Count(2)


def test_files_that_a_killed_process_left_unfinished_are_swept_by_the_next_writer(tmp_path: Path) -> None:
    index = directory(tmp_path)
    put(index, {"a": "one"})
    (folder,) = (tmp_path / "ngrams").iterdir()
    (folder / "000002x.tmp").write_bytes(b"half")
    put(index, {"b": "two"})
    assert not list(folder.glob("*.tmp"))
    assert ngrams(index).count("two") == Count(1)


def test_an_index_made_anew_in_the_same_folder_leaves_no_counts_of_the_old_one(tmp_path: Path) -> None:
    put(directory(tmp_path), {"a": "old " * 50, "b": "old"})
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    put(directory(tmp_path), {"a": "new"})
    assert ngrams(directory(tmp_path)).count("old") == Count(0)
    assert len(list((tmp_path / "ngrams").rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("again", [False, True])
def test_rebuilding_derived_files_forgets_and_remakes_the_counts(tmp_path: Path, again: bool) -> None:
    index = directory(tmp_path)
    put(index, {"a": "the cat"})
    index.rebuild()
    assert not (tmp_path / "ngrams").exists()
    if again:
        put(index, {"b": "the dog"})
    index.refresh()
    index.close()
    assert ngrams(index).count("the") == Count(1 + again)


def test_threads_that_first_ask_at_the_same_time_all_get_the_counts(tmp_path: Path) -> None:
    put(directory(tmp_path, None), {str(number): "one more time" for number in range(30)})
    reader = directory(tmp_path).reader()

    def asked(_: int) -> tuple[Count, str]:
        assert reader.ngrams is not None
        return reader.ngrams.count("one more"), reader.document("7").text

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(asked, range(40))) == {(Count(30), "one more time")}
