"""What an ingest reads, skips, replaces, removes and reports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rag.errors import SourceError
from rag.pipeline.report import IngestProgress


def test_a_first_run_adds_and_a_second_skips_everything_unread(make, corpus: Path) -> None:
    pipeline = make()
    first = pipeline.ingest()
    assert (first.added, first.updated, first.unchanged, first.failed) == (3, 0, 0, ())
    assert first.chunks == first.embedded > 0
    assert first.truncated == 0
    second = pipeline.ingest()
    assert (second.added, second.updated, second.unchanged, second.chunks) == (0, 0, 3, 0)


def test_a_changed_file_is_replaced_and_its_unchanged_chunks_come_from_the_cache(make, corpus: Path) -> None:
    pipeline = make()
    pipeline.ingest()
    ships = corpus / "ships.txt"
    ships.write_text("The Mary Rose sank in 1545.", encoding="utf-8")
    report = pipeline.ingest()
    assert (report.updated, report.unchanged) == (1, 2)
    assert [c.text for c in pipeline.index.reader().chunks_of("ships.txt")] == ["The Mary Rose sank in 1545."]
    assert pipeline.ingest(force=True).embedded == 0


def test_a_touched_file_with_the_same_text_is_not_indexed_again(make, corpus: Path) -> None:
    pipeline = make()
    pipeline.ingest()
    os.utime(corpus / "ships.txt", ns=(1, 1))
    report = pipeline.ingest()
    assert report.embedded == 0


def test_vanished_files_go_only_when_asked(make, corpus: Path) -> None:
    pipeline = make()
    pipeline.ingest()
    (corpus / "ships.txt").unlink()
    assert pipeline.plan().vanished == ("ships.txt",)
    assert pipeline.ingest().removed == 0
    assert pipeline.ingest(prune=True).removed == 1
    assert "ships.txt" not in {summary.id for summary in pipeline.index.reader().documents()}


def test_a_bad_file_is_reported_with_its_reason_and_the_others_go_in(make, corpus: Path) -> None:
    (corpus / "broken.docx").write_bytes(b"PK\x03\x04 not a real archive")
    (corpus / "blank.txt").write_bytes(b" \n")
    (corpus / "empty.txt").write_bytes(b"")  # such as an __init__.py: nothing failed
    report = make().ingest()
    assert report.added == 3
    assert {Path(failure.source).name for failure in report.failed} == {"broken.docx", "blank.txt"}
    assert report.skipped == {"empty": 1}
    assert all(failure.reason for failure in report.failed)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the name of a file has to be text")
def test_a_file_whose_name_is_no_text_is_indexed_also_where_its_name_is_embedded(make, corpus: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n.txt")  # Latin-1, and a line break
    (corpus / name).write_text("Coffee is brewed at dawn.")
    pipeline = make("ingest.represent={by: prefix, fields: [path]}")
    report = pipeline.ingest()
    assert (report.added, report.failed) == (4, ())
    assert pipeline.search("brewed coffee").ranking[0].chunk.document_id == name
    assert pipeline.ingest().unchanged == 4


def test_strict_stops_at_the_first_bad_file(make, corpus: Path) -> None:
    (corpus / "broken.docx").write_bytes(b"PK\x03\x04 not a real archive")
    with pytest.raises(SourceError, match=r"broken\.docx"):
        make().ingest(strict=True)


def test_a_file_that_can_no_longer_be_read_keeps_its_indexed_version_also_when_pruning(make, corpus: Path) -> None:
    pipeline = make()
    pipeline.ingest()
    (corpus / "ships.txt").write_bytes(b"%PDF-1.7 cut off")
    report = pipeline.ingest(prune=True)
    assert (len(report.failed), report.removed) == (1, 0)
    assert pipeline.index.reader().document("ships.txt").text.startswith("The Vasa")


def test_a_plan_says_what_would_change_and_changes_nothing(make, corpus: Path) -> None:
    pipeline = make()
    assert set(pipeline.plan().added) == {"animals.md", "hafen.md", "ships.txt"}
    assert not pipeline.index.exists()
    pipeline.ingest()
    (corpus / "ships.txt").write_text("changed", encoding="utf-8")
    (corpus / "new.txt").write_text("new", encoding="utf-8")
    plan = pipeline.plan()
    assert (plan.added, plan.changed, plan.unchanged) == (("new.txt",), ("ships.txt",), 2)


def test_other_options_index_again_without_other_text(make) -> None:
    make().ingest()
    pipeline = make("ingest.chunk={use: fixed, tokens: 8, overlap: 0}")
    assert len(pipeline.plan().changed) == 3
    assert pipeline.ingest().updated == 3


def test_an_access_list_that_changes_is_taken_over_though_the_file_did_not(make, corpus: Path) -> None:
    make().ingest()
    load = f"ingest.load=[{{use: files, root: '{corpus}', access: [staff]}}]"
    pipeline = make(load)
    assert pipeline.ingest().updated == 3
    assert pipeline.search("dogs", principals=frozenset({"staff"})).ranking
    assert not pipeline.search("dogs", principals=frozenset({"guest"})).ranking


def test_the_same_id_twice_is_a_failure_not_an_overwrite(make, corpus: Path) -> None:
    load = f"ingest.load=[{{use: files, root: '{corpus}'}}, {{use: files, root: '{corpus}'}}]"
    report = make(load).ingest()
    assert report.added == 3
    assert len(report.failed) == 3
    assert "same id" in report.failed[0].reason


def test_a_folder_that_is_not_there_is_reported_and_nothing_is_pruned(make, corpus: Path) -> None:
    make().ingest()
    pipeline = make("ingest.load=[{use: files, root: nowhere}]")
    report = pipeline.ingest(prune=True)
    assert (len(report.failed), report.removed) == (1, 0)


def test_progress_counts_up_to_the_total(make) -> None:
    seen: list[IngestProgress] = []
    make().ingest(progress=seen.append)
    assert [(progress.done, progress.chunks) for progress in seen] == [(1, 0), (2, 0), (3, 0), (3, 3)]
    assert {progress.total for progress in seen} == {3}


def test_progress_shows_within_a_long_document(make, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.pipeline.ingest.EMBED_CHUNKS", 4)
    (corpus / "long.md").write_text("\n\n".join(f"# {n}\n\nThe number {n}." for n in range(10)), encoding="utf-8")
    seen: list[IngestProgress] = []
    make("ingest.load.0.include=[long.md]", "ingest.chunk={use: headings, merge: false}").ingest(progress=seen.append)
    assert [(progress.chunks, progress.waiting) for progress in seen] == [(0, 10), (4, 6), (8, 2), (10, 0)]


def test_a_context_that_does_not_fit_the_window_is_shortened_and_the_text_kept_whole(make, corpus: Path) -> None:
    (corpus / "long.md").write_text(f"# {'heading ' * 400}\n\nThe text stays whole.\n", encoding="utf-8")
    pipeline = make("ingest.embed={use: onnx, model: minilm}", "ingest.chunk={use: headings, tokens: 60}")
    report = pipeline.ingest()
    assert report.truncated == 0
    assert not report.failed
    window = pipeline.embedder.tokenizer.max_tokens
    chunks = pipeline.index.reader().chunks_of("long.md")
    assert max(pipeline.embedder.tokenizer.count([chunk.indexed_text for chunk in chunks])) <= window


def test_what_was_committed_before_an_interruption_stays_and_is_not_read_again(
    make, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.pipeline.ingest.EMBED_CHUNKS", 1)
    monkeypatch.setattr("rag.pipeline.ingest.COMMIT_SECONDS", 0.0)

    def stop_at_the_last(progress: IngestProgress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().ingest(progress=stop_at_the_last)
    report = make().ingest()
    assert (report.added, report.unchanged) == (1, 2)
