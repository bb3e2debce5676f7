"""Options of the load stage: the base of connector options, and the limits under which files are parsed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.load.base import Connector
    from rag.resources import Resources

CONNECTORS: dict[str, str] = {
    "files": "rag.connectors.files:FilesSpec",
    "rows": "rag.connectors.rows:RowsSpec",
    "web": "rag.connectors.web:WebSpec",
}
"""The connectors that ship, by name. Imported when the name is used, since nothing in rag/ depends on a connector."""


Ocr: TypeAlias = Literal["off", "auto", "always"]


class ConnectorSpec(Spec):
    """The base of every connector's options."""

    use: str

    def build(self, resources: Resources) -> Connector:
        """Make the connector. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")


class ParseSpec(Spec):
    """How much one file may cost. A file over a limit is an error of that file; the others go on."""

    timeout_seconds: float = Field(10, gt=0)
    """Wall-clock time for one file; then its worker process is killed."""
    memory_mib: int = Field(512, ge=128)
    """Address space of a worker process, the interpreter included. Not enforced on macOS and Windows."""
    max_megabytes: float = Field(100, gt=0)
    """Largest file that is parsed, in megabytes (10^6 bytes)."""
    max_unpacked_megabytes: float = Field(300, gt=0)
    """Largest sum of unpacked members of a zip-based file (docx, pptx, xlsx, odt, epub)."""
    max_characters: int = Field(20_000_000, ge=1)
    """Largest text that one file may turn into."""
    workers: int | None = Field(None, ge=1, le=64)
    """Worker processes; by default one for each processor, at most 4."""
    password_env: str | None = None
    """Name of the environment variable with the password of encrypted PDF files."""
    ocr: Ocr = "off"
    """Read text off pictures (extra `docs`): PNG, JPEG and TIFF files, and pages of PDF files: those without a text
    layer (``auto``) or all (``always``). Printed Latin script, Chinese and Japanese."""
    ocr_timeout_seconds: float = Field(600, gt=0)
    """Wall-clock time for one file that OCR reads, in the place of `timeout_seconds`. A page takes 1 to 10 s of one
    processor."""
    ocr_memory_mib: int = Field(3072, ge=512)
    """Address space of a worker process that does OCR, in the place of `memory_mib`."""

    def missing(self) -> str | None:
        if self.ocr == "off" or find_spec("rapidocr") is not None:
            return None
        return "OCR needs the package 'rapidocr': pip install \"ragloom[docs]\""

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        if missing := self.missing():
            yield (*path, "ocr"), missing
