"""One model in this program ranks, compresses and answers; a cold question, a warm one, and the difference.

Each source is read once for all three stages, and the question too; for the next question what was read is there.

    python examples/local_model.py [MODEL]

MODEL is a folder, or a name on the Hugging Face hub. Without it a tiny model of random weights is made: it writes
nonsense, but does the same work. Needs the extra `hf`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from rag import Pipeline, library
from rag.testing.tiny_llama import make_tiny_llama
from rag.types import Reuse

HANDBOOK = Path(__file__).parent / "handbook"
QUESTIONS = ("How long is probation?", "Who pays for glasses?")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = sys.argv[1] if len(sys.argv) > 1 else tiny_model(Path(folder))
        changes = [
            f"llm.model={model}",
            "llm.reuse.path=null",
            f"ingest.load=[{{use: files, root: {HANDBOOK}}}]",
            f"ingest.index.path={folder}/index",
            "ask.generate.max_tokens=32",
        ]
        with Pipeline.from_yaml("one-prefill", overrides=changes) as pipeline:
            pipeline.ingest()
            pipeline.ask("Warm up?", principals=frozenset())  # opens the index, reads nothing
            cold, warm = (asked(pipeline, question) for question in QUESTIONS)
        fewer, faster = (one / other for one, other in zip(cold, warm, strict=True))
        print(f"warm instead of cold: {fewer:.1f} times fewer tokens computed, {faster:.1f} times faster")


def asked(pipeline: Pipeline, question: str) -> tuple[int, float]:
    """The tokens that were computed for all stages together, and seconds."""
    started = time.perf_counter()
    answer = pipeline.ask(question)
    seconds = time.perf_counter() - started
    print(f"{question} {answer.text!r}")
    tokens = 0
    for record in answer.trace.stages:
        reuse = Reuse.of(record.notes)
        if reuse is not None:
            tokens += reuse.recomputed + reuse.read_alone
            print(f"  {record.stage:<9} {reuse.reused:>6} tokens reused, {reuse.recomputed:>6} computed,", end=" ")
            print(f"{reuse.read_alone:>6} of new sources read alone, questions found: {reuse.questions}")
    print(f"  {tokens} tokens computed in {seconds:.2f} s")
    return tokens, seconds


def tiny_model(folder: Path) -> Path:
    """Random weights, and a tokenizer that knows the words of the handbook's questions and of the prompt."""
    texts = [library.read("prompts", "answer"), *QUESTIONS]
    return make_tiny_llama(folder / "model", texts=texts, vocabulary=1000, window=16384)


if __name__ == "__main__":
    main()
