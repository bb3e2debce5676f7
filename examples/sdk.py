"""The Python SDK: ingest, search, ask, stream, filters, and a pipeline changed in code.

python examples/sdk.py
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from rag import Answered, Compressed, Pipeline, PipelineSpec, Retrieved, parse_filter

HANDBOOK = Path(__file__).parent / "handbook"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"ingest.load=[{{use: files, root: '{HANDBOOK}'}}]",
            f"ingest.index.path='{folder}/index'",
        ]
        with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
            report = pipeline.ingest()
            print(f"{report.added} documents, {report.chunks} chunks, {len(report.failed)} failed")

            answer = pipeline.ask("How much annual leave do I have?")
            print(answer.text)
            for citation in answer.citations:
                for number, span in zip(citation.evidence, citation.spans, strict=True):
                    document = pipeline.index.reader().document(span.document_id)
                    # The citation is exact: these are the very characters of the source.
                    quoted = document.text[span.start : span.end]
                    print(f"  [{number}] {document.source}, {pipeline.locate(span)}: {quoted!r}")

            plain = parse_filter('suffix in (".md", ".txt")')
            for hit in pipeline.search("travel on a weekend", filter=plain).ranking.hits[:2]:
                print(f"  {hit.score:.3f} {hit.chunk.document_id}")

            for event in pipeline.stream(["Who pays for glasses?"]):
                match event:
                    case Retrieved(ranking=ranking):
                        print(f"  retrieved {len(ranking)} chunks")
                    case Compressed(evidence=evidence):
                        print(f"  kept {len(evidence)} pieces of evidence")
                    case Answered(answer=final):
                        print(final.text)

            print(asyncio.run(pipeline.aio.ask("How long is a sabbatical?")).text)

            # The YAML and the objects are the same thing.
            again = PipelineSpec.from_yaml(pipeline.to_yaml())
            assert again == pipeline.spec


if __name__ == "__main__":
    main()
