"""Whether the server of a pipeline's language model answers, and serves that model; for `rag doctor`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rag.cli.findings import Finding

if TYPE_CHECKING:
    import httpx

    from rag.models.openai_specs import OpenAIModelSpec

SECONDS = 5.0
SHOWN = 5  # models named of those it serves


def served(spec: OpenAIModelSpec) -> Finding:
    """Asks for the list of models, which costs nothing; a server may answer questions and have none."""
    import httpx

    from rag.config.problems import without_login

    what = f"language model {spec.model} at {without_login(spec.base_url)}"
    headers = {}
    if spec.api_key_env is not None:
        key = os.environ.get(spec.api_key_env, "").strip()
        if not key:
            return Finding("problem", f"{what}: no key in ${spec.api_key_env}", f"export {spec.api_key_env}=...")
        headers["Authorization"] = f"Bearer {key}"
    here = urlsplit(spec.base_url).hostname in ("localhost", "127.0.0.1", "::1")  # no proxy leads to this machine
    url = f"{spec.base_url.rstrip('/')}/models"
    try:
        response = httpx.get(url, headers=headers, timeout=SECONDS, trust_env=not here)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return Finding("problem", f"{what}: cannot be reached: {error}", "start the server, or change llm.base_url")
    if response.status_code in (401, 403):
        return Finding("problem", f"{what}: the key is refused ({response.status_code})", "set llm.api_key_env")
    models = _listed(response)
    if not models:
        return Finding("note", f"{what}: it answers, and lists no models ({response.status_code})")
    if spec.model not in models:
        more = ", ..." if len(models) > SHOWN else ""
        return Finding("note", f"{what}: it lists {', '.join(models[:SHOWN])}{more}", "set llm.model to one of these")
    return Finding("ok", what)


def _listed(response: httpx.Response) -> list[str]:
    if response.status_code != 200:
        return []
    try:
        return [str(each["id"]) for each in response.json()["data"]]
    except (ValueError, LookupError, TypeError):
        return []
