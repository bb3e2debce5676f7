"""What OCR asks for and changes, where it is installed and where not."""

from __future__ import annotations

from pathlib import Path

import pytest
from rag.connectors.files import FilesConnector, FilesSpec

from rag import Pipeline
from rag.errors import ConfigError
from rag.load.specs import ParseSpec


def test_ocr_without_its_package_is_refused_when_the_pipeline_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.load.specs.find_spec", lambda name: None)
    assert ParseSpec().missing() is None
    with pytest.raises(ConfigError, match=r'ingest\.parse\.ocr: .*pip install "ragloom\[docs\]"'):
        Pipeline.from_yaml("hybrid", overrides=["ingest.parse.ocr=auto"])


def test_pictures_are_listed_only_where_they_are_read_or_named(tmp_path: Path) -> None:
    for name in ("a.md", "b.png", "c.TIF"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    spec = FilesSpec(root=str(tmp_path))
    assert [source.id for source in FilesConnector(spec).load()] == ["a.md"]
    assert [source.id for source in FilesConnector(spec, pictures=True).load()] == ["a.md", "b.png", "c.TIF"]
    named = FilesSpec(root=str(tmp_path), include=("*.png",))
    assert [source.id for source in FilesConnector(named).load()] == ["b.png"]
