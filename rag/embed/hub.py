"""Downloads a model from the Hugging Face hub, with every file checked against the hub's own digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.embed.cache import cache_directory, install
from rag.errors import BackendError

if TYPE_CHECKING:
    import httpx

_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
_TIMEOUT_SECONDS = 30.0


def downloaded(name: str) -> Path:
    """Where `download` puts the model ``owner/name``."""
    return cache_directory() / "hub" / name.replace("/", "--")


def download(name: str, *, revision: str) -> Path:
    """Fetch the files of a sentence encoder, whole or not at all, and return their folder.

    ``HF_ENDPOINT`` names another server than huggingface.co.

    Raises:
        BackendError: the hub cannot be reached, refuses, or sent something else than it announced.
        ModelError: the cache cannot be written.
    """
    import httpx

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    with httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=True) as client:
        try:
            reply = client.get(f"{endpoint}/api/models/{name}/revision/{revision}", params={"blobs": "true"})
            reply.raise_for_status()
            listing = reply.json()
            entries = {entry["rfilename"]: entry for entry in listing["siblings"]}
            base = f"{endpoint}/{name}/resolve/{listing['sha']}"
            wanted = [file for file in _FILES if file in entries]

            def fill(folder: Path) -> None:
                for file in wanted:
                    _fetch(client, f"{base}/{file}", folder / file, entries[file])

            return install(downloaded(name), fill)
        except httpx.HTTPError as error:
            raise BackendError(f"{endpoint}: cannot download {name}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise BackendError(f"{endpoint}: the list of files of {name} is not understood: {error!r}") from error


def _fetch(client: httpx.Client, url: str, target: Path, entry: dict[str, Any]) -> None:
    # Large files are named by their SHA-256, small ones by git's: SHA-1 over a header and the content.
    large = entry.get("lfs")
    size = int(entry["size"])
    running = hashlib.sha256() if large else hashlib.sha1(f"blob {size}\0".encode())
    expected = large["sha256"] if large else entry["blobId"]
    target.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    with client.stream("GET", url) as reply, target.open("wb") as file:
        reply.raise_for_status()
        for block in reply.iter_bytes():
            received += len(block)
            if received > size:
                break
            running.update(block)
            file.write(block)
    if received != size or running.hexdigest() != expected:
        raise BackendError(f"{url}: expected {size} bytes with digest {expected}, received something else")
