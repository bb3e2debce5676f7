"""Web pages: single ones, those of a sitemap, or a site crawled to a depth. Polite and careful by default."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Literal
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
from protego import Protego
from pydantic import Field

from rag.errors import SourceError
from rag.load.archive import parse_xml
from rag.load.base import Source
from rag.load.specs import ConnectorSpec
from rag.types import Document

from .addresses import CheckedTransport

if TYPE_CHECKING:
    from lxml.etree import _Element

    from rag.resources import Resources

logger = logging.getLogger(__name__)

_SITEMAPS = 100
_PAGE_TYPES = ("text/", "application/xhtml+xml", "application/pdf", "application/json", "application/xml")


class WebSpec(ConnectorSpec):
    """Web pages by address, by sitemap, or by following links within a site.

    robots.txt is obeyed. Addresses of private networks, of this machine and of cloud metadata services are refused,
    at every redirect again, unless allowed. Proxies named in the environment are not used.
    """

    use: Literal["web"] = "web"
    urls: tuple[str, ...] = ()
    """Pages to read, http or https."""
    sitemaps: tuple[str, ...] = ()
    """Sitemaps, or indexes of sitemaps, whose pages are read."""
    depth: int = Field(0, ge=0, le=20)
    """How many links away from the pages in `urls` to go, on the same host."""
    max_pages: int = Field(100, ge=1)
    """At most this many pages are read, failed ones included."""
    seconds_between_requests: float = Field(1.0, ge=0)
    """Pause between two requests; a longer crawl delay in robots.txt wins."""
    timeout_seconds: float = Field(15, gt=0)
    """Time to connect, and to wait for more data."""
    max_megabytes: float = Field(20, gt=0)
    """Largest page, unpacked (10^6 bytes)."""
    max_redirects: int = Field(5, ge=0)
    """Redirects that are followed for one page."""
    robots: bool = True
    """Whether robots.txt is obeyed."""
    allow_private: bool = False
    """Whether private, loopback and link-local addresses may be read."""
    user_agent: str = "ragloom"
    """How requests introduce themselves, and which rules of robots.txt apply."""
    access: tuple[str, ...] | None = None
    """The principals who may see these pages."""

    def build(self, resources: Resources) -> WebConnector:
        return WebConnector(self)


class WebConnector:
    """Fetches while it lists, one page at a time: only then are a page's links and its stamp known."""

    def __init__(self, spec: WebSpec) -> None:
        self.spec = spec

    def load(self) -> Iterator[Source]:
        with _Session(self.spec) as session:
            waiting = deque((urldefrag(url).url, 0) for url in self.spec.urls)
            for sitemap in self.spec.sitemaps:
                waiting.extend((url, self.spec.depth) for url in _sitemap_pages(session, sitemap, self.spec.max_pages))
            seen = {url for url, _ in waiting}
            given: set[str] = set()
            pages = 0
            while waiting and pages < self.spec.max_pages:
                url, depth = waiting.popleft()
                pages += 1
                try:
                    page = session.fetch(url)
                except SourceError as error:
                    yield Source(id=url, uri=url, name=url, read=partial(_fail, error), access=self.spec.access)
                    continue
                if page.url in given:  # two addresses led to one page
                    continue
                given.add(page.url)
                yield self._source(page)
                if depth < self.spec.depth and "html" in page.media_type:
                    for link in _links(page):
                        if link not in seen and urlsplit(link).netloc == urlsplit(page.url).netloc:
                            seen.add(link)
                            waiting.append((link, depth + 1))
            if waiting:
                logger.info("stopped at %d pages, %d more were found", pages, len(waiting))

    def _source(self, page: _Page) -> Source:
        content = page.content
        return Source(
            id=page.url,
            uri=page.url,
            name=urlsplit(page.url).path.rpartition("/")[2],
            read=lambda: content,
            stamp=page.stamp or blake2b(content, digest_size=16).hexdigest(),
            media_type=page.media_type,
            meta={"url": page.url},
            access=self.spec.access,
        )


class _Page:
    def __init__(self, url: str, response: httpx.Response, content: bytes) -> None:
        self.url = url
        self.media_type = response.headers.get("content-type", "").lower()
        self.stamp = response.headers.get("etag") or response.headers.get("last-modified") or ""
        charset = response.charset_encoding
        self.content = _as_utf8(content, charset) if charset and self.media_type.startswith("text/") else content


class _Session:
    """Requests with a pause between them, under robots.txt, sizes and redirects bounded."""

    def __init__(self, spec: WebSpec) -> None:
        self.spec = spec
        self._client = httpx.Client(
            transport=CheckedTransport(allow_private=spec.allow_private),
            timeout=spec.timeout_seconds,
            headers={"User-Agent": spec.user_agent},
            follow_redirects=False,
            trust_env=False,
        )
        self._robots: dict[str, Protego] = {}
        self._next = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def fetch(self, url: str) -> _Page:
        """The page at `url`, redirects followed.

        Raises:
            SourceError: forbidden by robots.txt, at a refused address, too large, not a page, or no answer.
        """
        for _ in range(self.spec.max_redirects + 1):
            delay = self._permitted(url)
            response, content = self._get(url, delay)
            if not response.is_redirect:
                if response.is_error:
                    raise SourceError(f"the server answers {response.status_code}", source=url)
                media_type = response.headers.get("content-type", "text/html").lower()
                if not media_type.startswith(_PAGE_TYPES) and "officedocument" not in media_type:
                    raise SourceError(f"it is no page but {media_type}", source=url)
                return _Page(url, response, content)
            url = urldefrag(urljoin(url, response.headers.get("location", ""))).url
        raise SourceError(f"more than {self.spec.max_redirects} redirects", source=url)

    def _permitted(self, url: str) -> float:
        """The pause before the request, in seconds; raises `SourceError` where robots.txt forbids it."""
        if not self.spec.robots:
            return self.spec.seconds_between_requests
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._robots:
            self._robots[origin] = self._read_robots(origin)
        rules = self._robots[origin]
        if not rules.can_fetch(url, self.spec.user_agent):
            raise SourceError("robots.txt forbids it", source=url)
        return max(self.spec.seconds_between_requests, float(rules.crawl_delay(self.spec.user_agent) or 0))

    def _read_robots(self, origin: str) -> Protego:
        """RFC 9309: no file allows everything, a server in trouble allows nothing."""
        try:
            response, content = self._get(f"{origin}/robots.txt", self.spec.seconds_between_requests)
            for _ in range(self.spec.max_redirects):
                if not response.is_redirect:
                    break
                target = urljoin(str(response.url), response.headers.get("location", ""))
                response, content = self._get(target, self.spec.seconds_between_requests)
        except SourceError as error:
            raise SourceError(f"its robots.txt cannot be read ({error.message})", source=origin) from error
        if response.is_server_error:
            return Protego.parse("User-agent: *\nDisallow: /")
        return Protego.parse(content.decode("utf-8", "replace") if response.is_success else "")

    def _get(self, url: str, pause: float) -> tuple[httpx.Response, bytes]:
        if urlsplit(url).scheme not in ("http", "https"):
            raise SourceError("only http and https addresses are read", source=url)
        limit = int(self.spec.max_megabytes * 1e6)
        self._wait(pause)
        pieces, size = [], 0
        deadline = time.monotonic() + 10 * self.spec.timeout_seconds  # a server may send one byte at a time
        try:
            with self._client.stream("GET", url) as response:
                for piece in response.iter_bytes():
                    size += len(piece)
                    if size > limit:
                        raise SourceError(f"it is larger than {self.spec.max_megabytes:g} MB", source=url)
                    if time.monotonic() > deadline:
                        raise SourceError("the server is too slow", source=url)
                    pieces.append(piece)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise SourceError(f"it cannot be fetched: {error or type(error).__name__}", source=url) from error
        return response, b"".join(pieces)

    def _wait(self, pause: float) -> None:
        with self._lock:
            now = time.monotonic()
            wait = max(0.0, self._next - now)
            self._next = now + wait + pause
        if wait:
            time.sleep(wait)


def _fail(error: SourceError) -> Document:
    raise error


def _as_utf8(content: bytes, charset: str) -> bytes:
    """In UTF-8 where the server names the charset, since the parser sees only bytes; as they are if it is wrong."""
    try:
        return content.decode(charset).encode("utf-8-sig")
    except (UnicodeError, LookupError):
        return content


def _sitemap_pages(session: _Session, url: str, limit: int) -> list[str]:
    """The pages a sitemap names, at most `limit`; indexes of sitemaps are followed.

    Raises:
        SourceError: a sitemap cannot be fetched or read.
    """
    pages: list[str] = []
    waiting, seen = deque([url]), {url}
    while waiting and len(pages) < limit and len(seen) <= _SITEMAPS:
        sitemap = waiting.popleft()
        tree = _xml(session.fetch(sitemap).content, sitemap, int(session.spec.max_megabytes * 1e6))
        for location in tree.iter("{*}loc"):
            target = urldefrag((location.text or "").strip()).url
            parent = location.getparent()
            if parent is not None and str(parent.tag).endswith("sitemap"):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
            elif target:
                pages.append(target)
    return list(dict.fromkeys(pages))[:limit]


def _xml(content: bytes, url: str, limit: int) -> _Element:
    try:
        if content.startswith(b"\x1f\x8b"):
            unpacker = zlib.decompressobj(wbits=31)
            content = unpacker.decompress(content, limit)
            if unpacker.unconsumed_tail:
                raise ValueError(f"it unpacks to more than {limit / 1e6:g} MB")
        return parse_xml(content, "the sitemap")
    except (ValueError, zlib.error) as error:
        raise SourceError(f"the sitemap cannot be read: {error}", source=url) from error


def _links(page: _Page) -> list[str]:
    """The addresses a page links to, without fragments, in order, each once."""
    collector = _LinkCollector()
    collector.feed(page.content.decode("utf-8-sig", "replace"))
    base = urljoin(page.url, collector.base)
    return list(dict.fromkeys(urldefrag(urljoin(base, link)).url for link in collector.links))


class _LinkCollector(HTMLParser):
    """In pure Python: this is the one place where a page is parsed outside the worker processes."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "a" and values.get("href") and "nofollow" not in values.get("rel", "").split():
            self.links.append(values["href"].strip())
        elif tag == "base" and not self.base:
            self.base = values.get("href", "")
