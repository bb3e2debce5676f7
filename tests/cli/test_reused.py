from __future__ import annotations

from rag.cli import render
from rag.types import Ranking, Reuse, StageRecord, Trace, Usage

COLD = Reuse(reused=5070, recomputed=278, read_alone=2418, from_prompt=2653, apart="other sources")
WARM = Reuse(reused=1020, recomputed=681, from_memory=18, from_disk=2, from_prompt=1020, questions=1)


def test_what_was_reused_is_said_in_a_line() -> None:
    assert str(COLD) == (
        "5,070 tokens reused (2,653 of the prompt before), 278 computed, 2,418 of new sources read alone"
        "; not as they stood before: other sources"
    )
    assert str(WARM) == (
        "1,020 tokens reused (1,020 of the prompt before, its question too), 681 computed, 18 sources from memory, "
        "2 sources from disk"
    )


def test_notes_of_a_stage_give_back_what_was_reused() -> None:
    assert Reuse.of({"prompt_tokens": 1701, **Usage(reuse=WARM).reuse_notes}) == WARM
    assert Reuse.of({"prompt_tokens": 1701}) is None


def test_the_trace_says_it_for_reranking_compression_and_generation() -> None:
    notes = Usage(reuse=WARM).reuse_notes
    sizes = {"characters_in": 90, "characters_out": 40}
    tokens = {"prompt_tokens": 1701, "completion_tokens": 16, "cached_tokens": 1020}
    records = [
        StageRecord(stage="fuse", use="rrf", seconds=0, taken=2, given=2, rankings=(Ranking(),)),
        StageRecord(stage="rerank", use="attention", seconds=0, taken=2, given=2, rankings=(Ranking(),), notes=notes),
        StageRecord(stage="compress", use="infiniretri", seconds=0, taken=2, given=1, notes={**sizes, **notes}),
        StageRecord(stage="generate", use="llm", seconds=0, taken=1, given=1, notes={**tokens, **notes}),
    ]
    lines = render.trace(Trace(tuple(records))).splitlines()
    assert lines[2].endswith(f"  {WARM}")
    assert lines[3].endswith(f"  90 -> 40 characters; {WARM}")
    assert lines[4].endswith(f"  1701 + 16 tokens: {WARM}")
