"""What the answers took: time by stage, tokens, money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from rag.errors import ConfigError
from rag.evaluate.report import Latency, StageCost
from rag.models.prices import Price
from rag.types import Answer, Chunk, Trace, Usage


def read_prices(path: Path) -> dict[str, Price]:
    """A YAML table of prices by model name, ``*`` for any other::

        qwen3-8b: {prompt: 0.05, completion: 0.20}     # a million tokens

    Raises:
        ConfigError: the file cannot be read or holds something else.
    """
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: it cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: expected prices by model name")
    return {str(model): _price(row, f"{path}: {model}") for model, row in table.items()}


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model by its name, else that of ``*``."""
    return prices.get(model) or prices.get("*")


def spent(trace: Trace, answer: Answer | None) -> Usage:
    """What one question cost: the answer's usage, and what the other stages noted."""
    total = Usage() if answer is None else answer.usage
    for record in trace.stages:
        if record.stage != "generate":
            prompt, completion, requests, cached = (
                value if isinstance(value := record.notes.get(name), int) else 0
                for name in ("prompt_tokens", "completion_tokens", "requests", "cached_tokens")
            )
            total += Usage(prompt, completion, requests, cached_tokens=cached)
    return total


def latency(milliseconds: Sequence[float]) -> Latency:
    """Percentiles with linear interpolation; needs at least one value."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return Latency(
        p50_ms=float(p50),
        p95_ms=float(p95),
        mean_ms=float(np.mean(milliseconds)),
        seconds=float(np.sum(milliseconds)) / 1000,
    )


def stage_costs(traces: Sequence[Trace]) -> tuple[StageCost, ...]:
    """The latency of each stage, by its place in the pipeline; a stage that some questions skip counts where it ran."""
    times: dict[tuple[int, str, str], list[float]] = {}
    for trace in traces:
        for at, record in enumerate(trace.stages):
            times.setdefault((at, record.stage, record.use), []).append(record.seconds * 1000)
    return tuple(
        StageCost(at=at, stage=stage, use=use, latency=latency(values))
        for (at, stage, use), values in sorted(times.items())
    )


def tokens_read(
    rankings: Sequence[Sequence[Chunk]], depths: Sequence[int], count: Callable[[Sequence[str]], list[int]]
) -> dict[str, float]:
    """Mean tokens of the first chunks of the rankings, by cut-off: ``{"@10": 1520.4}``.

    Args:
        count: the tokens of each text.
    """
    texts = {chunk.id: chunk.text for chunks in rankings for chunk in chunks[: max(depths, default=0)]}
    if not texts:
        return {}
    tokens = dict(zip(texts, count(list(texts.values())), strict=True))
    return {
        f"@{depth}": sum(tokens[chunk.id] for chunks in rankings for chunk in chunks[:depth]) / len(rankings)
        for depth in depths
    }


def _price(row: object, where: str) -> Price:
    if isinstance(row, dict) and row.keys() == {"prompt", "completion"}:
        prompt, completion = row["prompt"], row["completion"]
        if all(isinstance(value, int | float) and value >= 0 for value in (prompt, completion)):
            return Price(prompt=prompt, completion=completion)
    raise ConfigError(f"{where}: expected prompt and completion, each a price of a million tokens")
