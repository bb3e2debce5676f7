"""What a vLLM engine says of its own work, in process or behind a server."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{[^}]*\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """Counts since the engine started, but for the first three, which are of this moment.

    Attributes:
        running: requests in the batch.
        waiting: requests in the queue.
        cache_share: how much of the key-value cache is in use, 0 to 1.
        prefix_queries: prompt tokens that were looked up in the prefix cache.
        prefix_hits: those of them that were found and not computed again.
        external_queries: prompt tokens beyond those that were looked up with a connector (LMCache, offloading, ...).
        external_hits: those of them that it had, and that were loaded from there.
        prompt_tokens: tokens of all prompts.
        generated_tokens: tokens of all replies.
    """

    running: int
    waiting: int
    cache_share: float
    prefix_queries: int
    prefix_hits: int
    external_queries: int
    external_hits: int
    prompt_tokens: int
    generated_tokens: int

    @property
    def hit_rate(self) -> float:
        """The share of looked-up prompt tokens that were found; 0 before any."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else 0.0


def parse_metrics(text: str) -> EngineMetrics:
    """Read them from Prometheus text, that of ``/metrics``, summed over its engines.

    >>> parse_metrics('vllm:num_requests_running{engine="0",model_name="m"} 2.0').running
    2
    """
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        sums[name] = sums.get(name, 0.0) + float(value)
    return EngineMetrics(
        running=int(sums.get("num_requests_running", 0)),
        waiting=int(sums.get("num_requests_waiting", 0)),
        cache_share=sums.get("kv_cache_usage_perc", 0.0),
        prefix_queries=int(sums.get("prefix_cache_queries_total", 0)),
        prefix_hits=int(sums.get("prefix_cache_hits_total", 0)),
        external_queries=int(sums.get("external_prefix_cache_queries_total", 0)),
        external_hits=int(sums.get("external_prefix_cache_hits_total", 0)),
        prompt_tokens=int(sums.get("prompt_tokens_total", 0)),
        generated_tokens=int(sums.get("generation_tokens_total", 0)),
    )
