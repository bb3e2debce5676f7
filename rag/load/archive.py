"""Zip-based files, read with suspicion: never extracted to disk, everything bounded before it is unpacked."""

from __future__ import annotations

import re
import zipfile
import zlib
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lxml import etree

from rag.load.builder import Limits

if TYPE_CHECKING:
    from lxml.etree import _Element

_MEMBERS = 20_000
_RATIO = 400  # real office XML stays under 100; a zip bomb is above 1,000
_RATIO_FROM_BYTES = 1_000_000
_DECLARATION = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_DECLARATION_UTF16 = re.compile(rb"<\0?!\0?\s*(D\0?O\0?C\0?T\0?Y\0?P\0?E|E\0?N\0?T\0?I\0?T\0?Y)", re.IGNORECASE)
_RELATIONSHIP = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"


class Archive:
    """A zip file in memory whose members are safe to read."""

    def __init__(self, zip_file: zipfile.ZipFile) -> None:
        self._zip = zip_file
        self.names = frozenset(zip_file.namelist())

    @classmethod
    def open(cls, data: bytes, limits: Limits) -> Archive:
        """Check names, sizes and ratios of all members before any is read.

        Raises:
            ValueError: damaged, encrypted, or built to hurt.
        """
        try:
            zip_file = zipfile.ZipFile(BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
            raise ValueError(f"the zip container is damaged: {error}") from error
        members = zip_file.infolist()
        if len(members) > _MEMBERS:
            raise ValueError(f"the zip container has {len(members):,} members, more than {_MEMBERS:,}")
        for member in members:
            _check(member)
        unpacked = sum(member.file_size for member in members)
        if unpacked > limits.max_unpacked_bytes:
            allowed = limits.max_unpacked_bytes / 1e6
            raise ValueError(f"it unpacks to {unpacked / 1e6:,.0f} MB, more than the limit of {allowed:,.0f} MB")
        return cls(zip_file)

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ValueError: it is missing or damaged.
        """
        try:
            with self._zip.open(name) as member:
                return member.read(self._zip.getinfo(name).file_size)
        except KeyError:
            raise ValueError(f"{name} is missing in it") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise ValueError(f"{name} in it is damaged: {error}") from error

    def xml(self, name: str) -> _Element:
        """A member's XML tree, without document type, entities or network.

        Raises:
            ValueError: it is missing, damaged, no XML, or declares a document type.
        """
        return parse_xml(self.read(name), name)

    def optional_xml(self, name: str) -> _Element | None:
        """As `xml`; ``None`` where there is no such member or it is not readable: for parts beside the main text."""
        if name not in self.names:
            return None
        try:
            return self.xml(name)
        except ValueError:
            return None

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """The relationships of an office part: id -> (last word of the type, target member)."""
        path = PurePosixPath(part)
        tree = self.optional_xml(f"{path.parent}/_rels/{path.name}.rels")
        if tree is None:
            return {}
        return {
            relation.get("Id", ""): (
                relation.get("Type", "").rpartition("/")[2],
                resolve(str(path.parent), relation.get("Target", "")),
            )
            for relation in tree.iter(_RELATIONSHIP)
            if relation.get("TargetMode") != "External"
        }

    def format(self) -> str:
        """Which document format the container holds: a key of `rag.load.formats.PARSERS`.

        Raises:
            ValueError: none that is supported.
        """
        for member, name in (
            ("word/document.xml", "docx"),
            ("ppt/presentation.xml", "pptx"),
            ("xl/workbook.xml", "xlsx"),
            ("META-INF/container.xml", "epub"),
        ):
            if member in self.names:
                return name
        media_type = self.read("mimetype").decode("ascii", "replace").strip() if "mimetype" in self.names else ""
        if media_type.startswith("application/vnd.oasis.opendocument.text"):
            return "odt"
        raise ValueError("it is a zip archive, but no docx, pptx, xlsx, odt or epub; unpack it first")

    def check_xml(self) -> None:
        """Refuse document types in any XML member, for libraries that parse the members themselves.

        Raises:
            ValueError: a member declares a document type or entities.
        """
        for name in self.names:
            if name.endswith((".xml", ".rels", ".vml")):
                _refuse_declarations(self.read(name), name)


def parse_xml(data: bytes, name: str) -> _Element:
    """Parse XML that must have no document type.

    Raises:
        ValueError: it is not well-formed, or declares a document type.
    """
    _refuse_declarations(data, name)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ValueError(f"{name} is not well-formed XML: {error}") from error


def resolve(folder: str, target: str) -> str:
    """The member that a reference in `folder` names; references cannot leave the archive, members are looked up."""
    path = unquote(urlsplit(target).path)
    parts: list[str] = [] if path.startswith("/") else [part for part in folder.split("/") if part not in ("", ".")]
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _check(member: zipfile.ZipInfo) -> None:
    name = member.filename
    if name.startswith("/") or "\\" in name or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
        raise ValueError(f"a member's name leads out of the archive: {name!r}")
    if member.flag_bits & 1:
        raise ValueError("it is encrypted")
    if member.file_size > _RATIO_FROM_BYTES and member.file_size > _RATIO * max(1, member.compress_size):
        ratio = member.file_size // max(1, member.compress_size)
        raise ValueError(f"{name} in it unpacks to {ratio:,} times its size: this looks like a zip bomb")


def _refuse_declarations(data: bytes, name: str) -> None:
    # Expanded entities are how XML bombs and file theft work, and no office format needs a document type.
    pattern = _DECLARATION_UTF16 if b"\0" in data[:64] else _DECLARATION
    if pattern.search(data):
        raise ValueError(f"{name} declares a document type or entities; this is refused")
