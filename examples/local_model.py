"""One model in this program ranks, compresses and answers; what it read for one question is there for the next.

    python examples/local_model.py [MODEL]

MODEL is a folder, or a name on the Hugging Face hub. Without it a tiny model of random weights is made: it writes
nonsense, but does the same work. Needs the extra `hf`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rag import Pipeline, library
from rag.testing.tiny_llama import make_tiny_llama

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
            for question in QUESTIONS:
                answer = pipeline.ask(question)
                print(f"{question} {answer.text!r}")
                for record in answer.trace.stages:
                    if record.notes.get("prompt_tokens"):
                        read, cached = record.notes["prompt_tokens"], record.notes["cached_tokens"]
                        print(
                            f"  {record.stage:<9} prompts of {read:>6} tokens, {cached:>6} of them not computed again"
                        )


def tiny_model(folder: Path) -> Path:
    """Random weights, and a tokenizer that knows the words of the handbook's questions and of the prompt."""
    texts = [library.read("prompts", "answer"), *QUESTIONS]
    return make_tiny_llama(folder / "model", texts=texts, vocabulary=1000, window=16384)


if __name__ == "__main__":
    main()
