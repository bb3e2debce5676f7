"""What an explanation comes to, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.evaluate.charts import number

if TYPE_CHECKING:
    from rag.evaluate.explanation import Explanation, LeftOut, Passage

NAMED = 3
"""How many passages a sentence names before it counts the others."""


def told(found: Explanation) -> Explanation:
    """The explanation with its findings and its summary written."""
    left_out = tuple(replace(left, finding=_finding(found, left)) for left in found.left_out)
    found = replace(found, left_out=left_out)
    return replace(found, summary=tuple(_summary(found)))


def _finding(found: Explanation, left: LeftOut) -> str:
    """What the stage brought into the evidence, what it pushed out, what it moved, and what would come first."""
    name = _code(left.name)
    if twin := _twin(found, left):
        return f"{_code(left.instead)} in the place of {name} gives what is found without {_code(twin)}."
    against = f"Against {_code(left.instead)} in its place, {name}" if left.instead else name
    brought, pushed_out, moved = changes(found, left)
    sentences = []
    if brought:
        items = [f"{passage.label} as [{passage.number}]{_elsewhere(found, left, passage)}" for passage in brought]
        sentences.append(f"{against} brought in {_listed(items)}.")
    if pushed_out:
        subject = "It" if brought else against
        items = [f"{passage.label}, which would be [{_place(left, passage)}]" for passage in pushed_out]
        sentences.append(f"{subject} pushed out {_listed(items)}.")
    if moved and not sentences:
        items = [f"[{passage.number}] would be [{_place(left, passage)}]" for passage in moved]
        sentences.append(f"{against} only orders the evidence: without it {_listed(items)}.")
    if left.stage == "compress":
        sentences.append(f"It keeps {found.characters:,} characters; whole chunks would be {left.characters:,}.")
    if left.stage == "expand" and left.characters != found.characters:
        sentences.append(f"{name} widens the evidence from {left.characters:,} to {found.characters:,} characters.")
    if not sentences and left.characters != found.characters:
        kept = f"{left.characters:,} characters instead of {found.characters:,}"
        return f"Without {name} the same passages are evidence, but with {kept}."
    if not sentences:
        return f"{against} changes nothing." if left.instead else f"Without {name} the evidence is the same."
    ahead = first_without(found, left)
    if ahead is None:
        sentences.append("Without it there would be no evidence.")
    elif ahead.number != 1:
        sentences.append(f"Without it the answer would rest first on {ahead.label}.")
    return " ".join(sentences)


def _twin(found: Explanation, left: LeftOut) -> str | None:
    """For a retriever in the fuser's place: the one without which the evidence is the same, unlike the whole's."""
    for other in found.left_out if left.stage == "fuse" else ():
        same = all(_place(left, passage) == _place(other, passage) for passage in found.passages)
        if other.stage == "retrieve" and same and any(changes(found, other)):
            return other.name
    return None


def changes(found: Explanation, left: LeftOut) -> tuple[list[Passage], list[Passage], list[Passage]]:
    """The passages that the stage brought into the evidence, pushed out of it, and moved within it, in this order."""
    with_it = [passage for passage in found.passages if passage.number is not None]
    without = [passage for passage in found.passages if _place(left, passage) is not None]
    brought = [passage for passage in with_it if _place(left, passage) is None]
    pushed_out = sorted(
        (passage for passage in without if passage.number is None), key=lambda each: _place(left, each) or 0
    )
    moved = [passage for passage in with_it if _place(left, passage) not in (None, passage.number)]
    return brought, pushed_out, moved


def first_without(found: Explanation, left: LeftOut) -> Passage | None:
    """The passage that would come first without the stage; ``None`` where there would be no evidence."""
    return next((passage for passage in found.passages if _place(left, passage) == 1), None)


def idle(found: Explanation) -> list[str]:
    """The names of the stages without which the evidence is the same, the fuser's against every single retriever."""
    stages = dict.fromkeys((left.stage, left.name) for left in found.left_out)
    busy = {
        (left.stage, left.name)
        for left in found.left_out
        if any(changes(found, left)) or left.characters != found.characters
    }
    return [name for stage, name in stages if (stage, name) not in busy]


def numbered(numbers: Sequence[int]) -> str:
    """``[2]``, ``[2-4]`` for what follows one another, ``[2+]`` for a first and others; nothing for none."""
    if not numbers:
        return ""
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"[{first}]"
    return f"[{first}-{last}]" if last - first == len(numbers) - 1 else f"[{first}+]"


def _summary(found: Explanation) -> Iterator[str]:
    first = next((passage for passage in found.passages if passage.number == 1), None)
    if first is None:
        yield "There is no evidence for this question."
    elif not found.left_out:
        yield f"{first.label} comes first. No stage of this pipeline can be left out."
    else:
        # A fuser decides only if no single retriever in its place would put the same passage first.
        stages = dict.fromkeys((left.stage, left.name) for left in found.left_out)
        same = {(left.stage, left.name) for left in found.left_out if first_without(found, left) is first}
        decisive = [_code(name) for stage, name in stages if (stage, name) not in same]
        because = f"because of {_and(decisive)}" if decisive else "whichever stage is left out"
        yield f"{first.label} comes first {because}."
        if unmoved := idle(found):
            yield f"{_and([_code(name) for name in unmoved])} changed nothing for this question."
    costliest = max(found.steps, key=lambda step: step.seconds)
    yield f"{_code(costliest.name)} took {costliest.share:.0%} of {number(found.seconds * 1000)} ms."


def _elsewhere(found: Explanation, left: LeftOut, passage: Passage) -> str:
    """Where a passage that the stage brought in stood for others."""
    ranks = dict(zip(found.columns, passage.ranks, strict=True))
    if left.stage == "fuse":
        return f" ({_had(left.instead, ranks[left.instead])})"
    if left.stage != "retrieve":
        standing = left.standing.get(passage.chunk_id)
        return f" (rank {standing} without)" if standing else " (not ranked without)"
    retrievers = [step.name for step in found.steps if step.stage == "retrieve"]
    said = [f"rank {ranks[left.name]}"] if ranks[left.name] else []
    said += [_had(name, ranks[name]) for name in retrievers if name != left.name]
    return f" ({'; '.join(said)})"


def _had(name: str, rank: int | None) -> str:
    return f"{_code(name)} had it at {rank}" if rank else f"{_code(name)} did not find it"


def _place(left: LeftOut, passage: Passage) -> int | None:
    return left.ranks[passage.chunk_id][-1]


def _code(name: str) -> str:
    return f"`{name}`"


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _listed(items: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(items) - NAMED
    return "; ".join(items) if more <= 0 else f"{'; '.join(items[:NAMED])}; and {more} more"
