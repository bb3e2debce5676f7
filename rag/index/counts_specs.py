"""Where counts of phrases come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path as ValuePath
    from rag.config.view import Conflict, View
    from rag.index.counts import CorpusCounts
    from rag.index.directory import IndexDirectory


class CountsSpec(Spec):
    """Who counts phrases. `build` is abstract."""

    use: str

    def build(self, index: IndexDirectory) -> CorpusCounts:
        """Make the component over the pipeline's index."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to count")


class LocalCountsSpec(CountsSpec):
    """The pipeline's own documents: a count says what they cover, not what a model has seen."""

    use: Literal["local"] = "local"

    def conflicts(self, pipeline: View, path: ValuePath) -> Iterator[Conflict]:
        # Null by default, so that its own place is in no file.
        if pipeline.value("ingest.index.ngrams") is None:
            message = "'local' counts phrases in the pipeline's own documents: set `ingest.index.ngrams: {}`"
            yield (*path, "use"), message

    def build(self, index: IndexDirectory) -> CorpusCounts:
        from rag.index.counts_local import LocalCounts

        return LocalCounts(index)


class InfinigramCountsSpec(CountsSpec):
    """An Infini-gram server, which counts in a corpus that models are trained on. arXiv 2401.17377."""

    use: Literal["infinigram"] = "infinigram"
    url: str = Field(pattern=r"^https?://\S+$")
    """Where the server is; it is sent the phrases that are counted."""
    index: str = Field(min_length=1)
    """The corpus, by the server's name for it, as ``v4_dolma-v1_7_llama``."""
    tokenizer: str | None = None
    """The corpus' ``tokenizer.json``; unset: the server cuts phrases; AND and OR in them are refused."""
    most: int = Field(500_000, ge=1, le=500_000)
    """Occurrences of a phrase that the server looks at when pairs are counted; where there are more it estimates."""
    timeout_seconds: float = Field(10.0, gt=0)
    """How long the server may stay silent."""
    retries: int = Field(2, ge=0, le=20)
    """How often a failed request is repeated, with growing, random waits."""

    def missing(self) -> str | None:
        if self.tokenizer is not None and not Path(self.tokenizer).is_file():
            return f"there is no tokenizer at {self.tokenizer}"
        return None

    def build(self, index: IndexDirectory) -> CorpusCounts:
        from rag.index.counts_server import InfinigramCounts
        from rag.models.retry import Backoff

        return InfinigramCounts(
            url=self.url,
            index=self.index,
            tokenizer=None if self.tokenizer is None else Path(self.tokenizer),
            most=self.most,
            timeout_seconds=self.timeout_seconds,
            backoff=Backoff(retries=self.retries),
        )


BUILT_IN: tuple[type[CountsSpec], ...] = (LocalCountsSpec, InfinigramCountsSpec)
