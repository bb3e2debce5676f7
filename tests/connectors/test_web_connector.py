"""Against a server on the loopback address."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rag.connectors.addresses import is_public
from rag.connectors.web import WebConnector, WebSpec

from rag.errors import SourceError
from rag.load.base import Source


class Site:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []

    def add(self, path: str, body: str | bytes = "", *, status: int = 200, **headers: str) -> None:
        named = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}
        self.pages[path] = (status, named, body if isinstance(body, bytes) else body.encode())

    def load(self, *paths: str, **options: object) -> list[Source]:
        defaults = {"allow_private": True, "seconds_between_requests": 0, "timeout_seconds": 5}
        urls = [self.url + path for path in paths]
        return list(WebConnector(WebSpec.model_validate({"urls": urls} | defaults | options)).load())


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            status, headers, body = site.pages.get(self.path, (404, {}, b"none"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def error(source: Source) -> str:
    with pytest.raises(SourceError) as raised:
        source.read()
    return str(raised.value)


def test_a_page_is_a_source_with_its_address_type_and_etag(site: Site) -> None:
    site.add("/a.html", "<p>Words", ETag='"v1"')
    (source,) = site.load("/a.html", access=["staff"])
    assert (source.id, source.uri, source.name) == (f"{site.url}/a.html", f"{site.url}/a.html", "a.html")
    assert source.read() == b"\xef\xbb\xbf<p>Words"
    assert (source.stamp, source.media_type, source.access) == ('"v1"', "text/html; charset=utf-8", ("staff",))


def test_without_an_etag_the_stamp_is_the_contents(site: Site) -> None:
    site.add("/a", "one")
    before = site.load("/a")[0].stamp
    assert site.load("/a")[0].stamp == before
    site.add("/a", "two")
    assert site.load("/a")[0].stamp != before


def test_the_charset_of_the_header_counts(site: Site) -> None:
    site.add("/a", "Łódź".encode("cp1250"), Content_Type="text/html; charset=cp1250")
    assert site.load("/a")[0].read() == "Łódź".encode("utf-8-sig")


def test_private_addresses_are_refused_unless_allowed(site: Site) -> None:
    site.add("/a", "secret")
    (source,) = site.load("/a", allow_private=False)
    assert "127.0.0.1, which is not public" in error(source)
    assert site.asked == []


def test_a_public_name_with_a_private_address_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: private)
    (source,) = site.load(urls=["http://innocent.example/latest/meta-data"], allow_private=False)
    assert "169.254.169.254, which is not public" in error(source)


def test_a_redirect_to_a_private_address_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # "public.example" stands for a public host: its address passes the check, and leads to the test server.
    site.add("/a", status=302, Location="http://10.0.0.7/secret")
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: object, **named: object) -> object:
        return real("127.0.0.1" if host == "public.example" else host, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("rag.connectors.addresses.is_public", lambda address: address == "127.0.0.1")
    port = site.url.rpartition(":")[2]
    (source,) = site.load(urls=[f"http://public.example:{port}/a"], allow_private=False)
    assert "10.0.0.7, which is not public" in error(source)
    assert site.asked == ["/robots.txt", "/a"]


@pytest.mark.parametrize(
    "address",
    """127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 ::1 fe80::1%eth0 fc00::1
    ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::""".split(),  # noqa: SIM905 a list of short words
)
def test_this_address_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_robots_txt_is_obeyed_unless_told_otherwise(site: Site) -> None:
    site.add("/robots.txt", "User-agent: ragloom\nDisallow: /private/\n", Content_Type="text/plain")
    site.add("/private/a", "no")
    site.add("/b", "yes")
    forbidden, allowed = site.load("/private/a", "/b")
    assert "robots.txt forbids it" in error(forbidden)
    assert b"yes" in allowed.read()  # type: ignore[operator]  # bytes
    assert "/private/a" not in site.asked
    assert b"no" in site.load("/private/a", robots=False)[0].read()  # type: ignore[operator]  # bytes


def test_a_server_that_cannot_give_robots_txt_is_left_alone(site: Site) -> None:
    site.add("/robots.txt", status=500)
    site.add("/a", "words")
    assert "robots.txt forbids it" in error(site.load("/a")[0])


def test_links_are_followed_to_the_depth_on_the_same_host(site: Site) -> None:
    site.add("/", '<a href="/one#x">1</a> <a href="http://other.example/">o</a> <a rel="nofollow" href="/no">n</a>')
    site.add("/one", '<a href="two">2</a><a href="/">back</a><a href="mailto:a@b.c">m</a>')
    site.add("/two", '<a href="/three">3</a>')
    site.add("/three", "end")
    assert [source.id.removeprefix(site.url) for source in site.load("/", depth=2)] == ["/", "/one", "/two"]


def test_no_more_pages_than_allowed_are_read(site: Site) -> None:
    site.add("/", "".join(f'<a href="/p{n}">x</a>' for n in range(50)))
    for n in range(50):
        site.add(f"/p{n}", "x")
    assert len(site.load("/", depth=1, max_pages=4)) == 4


def test_redirects_are_followed_to_a_limit(site: Site) -> None:
    site.add("/a", status=301, Location="/b")
    site.add("/b", "<p>here")
    (source,) = site.load("/a")
    assert source.id == f"{site.url}/b"
    site.add("/loop", status=302, Location="/loop")
    assert "more than 5 redirects" in error(site.load("/loop")[0])


def test_two_addresses_of_one_page_are_one_source(site: Site) -> None:
    site.add("/a", status=301, Location="/b")
    site.add("/b", "<p>here")
    assert len(site.load("/a", "/b")) == 1


def test_a_large_page_is_an_error_also_when_it_comes_packed(site: Site) -> None:
    site.add("/a", "x" * 20_000)
    site.add("/b", gzip.compress(b"x" * 2_000_000), Content_Encoding="gzip")
    for source in site.load("/a", "/b", max_megabytes=0.01):
        assert "it is larger than 0.01 MB" in error(source)


def test_missing_pages_other_types_and_other_schemes_are_errors_and_the_others_load(site: Site) -> None:
    site.add("/a", "words")
    site.add("/v", b"\0", Content_Type="video/mp4")
    missing, video, file, fine = site.load(
        urls=[site.url + "/no", site.url + "/v", "file:///etc/passwd", site.url + "/a"]
    )
    assert "the server answers 404" in error(missing)
    assert "it is no page but video/mp4" in error(video)
    assert "only http and https" in error(file)
    assert b"words" in fine.read()  # type: ignore[operator]  # bytes


def test_sitemaps_and_their_indexes_are_read(site: Site) -> None:
    head = '<?xml version="1.0"?><{0} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    index = head.format("sitemapindex") + f"<sitemap><loc>{site.url}/s.xml.gz</loc></sitemap></sitemapindex>"
    pages = head.format("urlset") + "".join(f"<url><loc> {site.url}/{p} </loc></url>" for p in "aba") + "</urlset>"
    site.add("/index.xml", index, Content_Type="application/xml")
    site.add("/s.xml.gz", gzip.compress(pages.encode()), Content_Type="application/xml")
    site.add("/a", "A")
    site.add("/b", "B")
    sources = site.load(urls=[], sitemaps=[site.url + "/index.xml"])
    assert [source.id.removeprefix(site.url) for source in sources] == ["/a", "/b"]


def test_a_sitemap_with_an_entity_bomb_is_an_error(site: Site) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
    site.add("/s.xml", bomb, Content_Type="application/xml")
    with pytest.raises(SourceError, match="declares a document type"):
        site.load(urls=[], sitemaps=[site.url + "/s.xml"])


def test_requests_keep_their_distance(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("rag.connectors.web.time.sleep", waited.append)
    site.add("/robots.txt", "User-agent: *\nCrawl-delay: 30\n", Content_Type="text/plain")
    for path in ("/a", "/b"):
        site.add(path, "x")
    site.load("/a", "/b", seconds_between_requests=5)
    assert [round(seconds) for seconds in waited] == [5, 35]  # after robots.txt, then after /a too
