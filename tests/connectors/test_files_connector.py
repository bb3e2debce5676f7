from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rag.connectors.files import FilesConnector, FilesSpec

from rag.errors import ConfigError, SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "b.md": "# B",
        "a.txt": "A",
        "sub/c.py": "c = 1",
        "sub/deep/d.txt": "D",
        "notes.unknown": "plain words",
        "image.bin": "\0\1\2\3" * 100,
        ".hidden.txt": "no",
        ".git/config": "no",
    }.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


def connector(folder: Path, **options: object) -> FilesConnector:
    return FilesConnector(FilesSpec.model_validate({"root": str(folder), **options}))


def ids(folder: Path, **options: object) -> list[str]:
    return [source.id for source in connector(folder, **options).load()]


def test_files_are_listed_by_path_without_hidden_and_binary_ones(folder: Path) -> None:
    assert ids(folder) == ["a.txt", "b.md", "notes.unknown", "sub/c.py", "sub/deep/d.txt"]


def test_what_is_left_out_is_counted(folder: Path) -> None:
    files = connector(folder)
    list(files.load())
    assert dict(files.skipped) == {"hidden": 2, ".bin": 1}
    assert files.count() == 5


def test_empty_files_are_left_out_and_counted(folder: Path) -> None:
    (folder / "sub" / "__init__.py").touch()
    files = connector(folder)
    assert "sub/__init__.py" not in [source.id for source in files.load()]
    assert files.skipped["empty"] == 1


def test_a_folder_that_cannot_be_read_is_an_error_after_all_else_is_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    (folder / "zebra.txt").write_text("Z")
    sources = connector(folder).load()
    listed = [next(sources).id for _ in range(5)]
    assert listed == ["a.txt", "b.md", "notes.unknown", "sub/c.py", "zebra.txt"]
    with pytest.raises(SourceError, match=r"sub/deep: the folder cannot be read: Permission denied$"):
        next(sources)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_a_named_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(SourceError, match="it is not a regular file"):
        next(connector(folder / "pipe.txt").load()).read()


def test_a_source_says_where_it_is_and_when_it_changed(folder: Path) -> None:
    os.utime(folder / "a.txt", ns=(0, 1_700_000_000_000_000_000))
    source = next(connector(folder, prefix="kb/").load())
    assert (source.id, source.uri, source.name) == ("kb/a.txt", (folder / "a.txt").as_posix(), "a.txt")
    assert source.stamp == "1-1700000000000000000"
    assert dict(source.meta) == {"path": "a.txt", "suffix": ".txt", "modified": "2023-11-14T22:13:20+00:00"}
    assert source.read() == b"A"


def test_the_stamp_changes_with_the_content(folder: Path) -> None:
    before = next(connector(folder).load()).stamp
    (folder / "a.txt").write_text("AA")
    assert next(connector(folder).load()).stamp != before


def test_include_and_exclude_are_patterns(folder: Path) -> None:
    assert ids(folder, include=["*.txt"]) == ["a.txt", "sub/deep/d.txt"]
    assert ids(folder, include=["/sub/**"], exclude=["deep/"]) == ["sub/c.py"]


def test_gitignore_is_obeyed_and_a_deeper_one_wins(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.txt\nnotes.*\n")
    (folder / "sub" / ".gitignore").write_text("!d.txt\n/c.py\n")
    assert ids(folder) == ["b.md", "sub/deep/d.txt"]
    assert ids(folder, gitignore=False) == ["a.txt", "b.md", "notes.unknown", "sub/c.py", "sub/deep/d.txt"]


def test_links_out_of_the_root_are_not_followed(folder: Path) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    (folder / "out.txt").symlink_to(secret)
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert "out.txt" not in ids(folder)
    assert "inside.txt" in ids(folder)
    assert not any(name.startswith("loop") for name in ids(folder))


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_read(folder: Path) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    source = next(connector(folder).load())
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(secret)
    with pytest.raises(SourceError, match="link out of the folder"):
        source.read()


def test_a_file_that_vanished_is_an_error_of_that_file(folder: Path) -> None:
    source = next(connector(folder).load())
    (folder / "a.txt").unlink()
    with pytest.raises(SourceError, match=r"a\.txt: it cannot be read: No such file"):
        source.read()


def test_a_file_that_vanishes_while_it_is_listed_is_an_error_of_that_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = FilesConnector._walk

    def vanishing(self: FilesConnector, *given: Any) -> Iterator[tuple[Path, str]]:
        for path, name in walk(self, *given):
            if name == "b.md":
                path.unlink()
            yield path, name

    monkeypatch.setattr(FilesConnector, "_walk", vanishing)
    sources = list(connector(folder).load())
    assert [source.id for source in sources] == ["a.txt", "b.md", "notes.unknown", "sub/c.py", "sub/deep/d.txt"]
    with pytest.raises(SourceError, match=r"b\.md: it cannot be read: No such file"):
        sources[1].read()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows bounds the length of a path")
def test_folders_nested_deeper_than_the_system_names_are_reported_and_the_others_listed(tmp_path: Path) -> None:
    inner = os.open(tmp_path, os.O_RDONLY)
    name = "deep" * 60
    for _ in range(20):  # together longer than a path may be
        os.mkdir(name, dir_fd=inner)
        within = os.open(name, os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = within
    os.close(inner)
    (tmp_path / name / name / "found.txt").write_text("F")
    (tmp_path / "last.txt").write_text("L")
    sources = connector(tmp_path).load()
    assert [next(sources).id, next(sources).id] == [f"{name}/{name}/found.txt", "last.txt"]
    with pytest.raises(SourceError, match="the folder cannot be read: File name too long"):
        next(sources)


def test_links_in_a_circle_are_left_out(folder: Path) -> None:
    before = ids(folder)
    (folder / "self.txt").symlink_to(folder / "self.txt")
    (folder / "up").symlink_to(folder)
    (folder / "sub" / "nowhere.txt").symlink_to(folder / "nowhere")
    assert ids(folder) == before


def test_a_gitignore_that_cannot_be_read_leaves_its_folder_out_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub" / ".gitignore").write_text("c.py\n")
    read_text = Path.read_text

    def refusing(path: Path, *given: Any) -> str:
        if path.name == ".gitignore":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *given)

    monkeypatch.setattr(Path, "read_text", refusing)
    sources = connector(folder).load()
    assert [next(sources).id for _ in range(3)] == ["a.txt", "b.md", "notes.unknown"]
    with pytest.raises(SourceError, match=r"sub/\.gitignore: the folder cannot be read: Permission denied"):
        next(sources)


def test_a_time_that_no_calendar_has_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def far(path: Path, **given: Any) -> os.stat_result:
        found = stat(path, **given)
        return os.stat_result((*found[:8], 1 << 40, found[9]), {"st_mtime": float(1 << 40)})

    monkeypatch.setattr(Path, "stat", far)
    assert "modified" not in next(connector(folder).load()).meta


def test_a_named_pipe_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    assert "pipe.txt" not in ids(folder)


def test_a_large_file_is_an_error_that_names_the_limit(folder: Path) -> None:
    source = next(connector(folder, max_megabytes=0.0000001).load())
    with pytest.raises(SourceError, match="more than the limit"):
        source.read()


def test_the_root_may_be_one_file(folder: Path) -> None:
    (source,) = connector(folder / "b.md").load()
    assert (source.id, source.read()) == ("b.md", b"# B")
    assert connector(folder / "b.md").count() == 1


def test_a_missing_root_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        list(connector(folder / "nowhere").load())


def test_the_first_pattern_of_the_access_file_that_matches_decides(folder: Path) -> None:
    (folder / ".access.yaml").write_text('"sub/deep/**": [board]\n"sub/**": [staff, board]\n"b.md": []\n')
    access = {source.id: source.access for source in connector(folder, access=["everyone"]).load()}
    assert access == {
        "a.txt": ("everyone",),
        "b.md": (),
        "notes.unknown": ("everyone",),
        "sub/c.py": ("staff", "board"),
        "sub/deep/d.txt": ("board",),
    }


@pytest.mark.parametrize("wrong", ["- a list", '"*": everyone', '"*": [1]', '"*": [unclosed'])
def test_a_wrong_access_file_stops_before_any_file_is_listed(folder: Path, wrong: str) -> None:
    (folder / ".access.yaml").write_text(wrong)
    with pytest.raises(ConfigError, match=r"\.access\.yaml"):
        next(connector(folder).load())
