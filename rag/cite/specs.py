"""The options of every citer that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from rag.config.spec import Spec

if TYPE_CHECKING:
    from rag.cite.base import Citer
    from rag.models.entailment import EntailmentModel
    from rag.resources import Resources


class CiterSpec(Spec):
    """Options of what checks the answer's citations."""

    checks: ClassVar[bool] = False
    """Whether it says of each citation how far its source supports it."""
    use: str
    """The component's name."""

    def build(self, resources: Resources) -> Citer:
        """Make the component; every subclass does."""
        raise NotImplementedError(type(self).__name__)


class MarkersSpec(CiterSpec):
    """Reads ``[1]``, ``[1, 2]`` and ``[1-3]``; markers that name no given source are taken out and counted."""

    use: Literal["markers"] = "markers"

    def build(self, resources: Resources) -> Citer:
        from rag.cite.markers import MarkerCiter

        return MarkerCiter()


class NliSpec(Spec):
    """A model of entailment (natural language inference); needs the extra `hf` and its weights."""

    model: str = Field(min_length=1)
    """A transformers sequence classifier with a label for entailment: a name on the Hugging Face hub, or a folder."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for `cpu`."""
    batch_size: int = Field(32, ge=1)
    """Pairs of texts in one batch."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def model_of(self, resources: Resources) -> EntailmentModel:
        """The model, shared with every stage that names it with the same options."""
        from rag.models.entailment import TransformersEntailment

        options = self.model_dump()
        return resources.shared(("entailment", *options.values()), lambda: TransformersEntailment(**options))


class CheckedSpec(CiterSpec):
    """As `markers`, and each cited sentence is held against its source: supported, weak or unsupported.

    By words, numbers, names and negations; on top of that, where asked, by the embedder and by a model of entailment.
    """

    checks: ClassVar[bool] = True
    use: Literal["checked"] = "checked"
    supported: float = Field(0.6, ge=0, le=1)
    """The share of a sentence's content words that its source needs for `supported`."""
    weak: float = Field(0.4, ge=0, le=1)
    """The share below which it is `unsupported`."""
    embedding: bool = False
    """Let the pipeline's embedder find support in other words; embeds up to five sentences for each one checked."""
    cosine: float = Field(0.7, ge=-1, le=1)
    """For `embedding`: how near the nearest sentence of the source must be to stand for the words."""
    nli: NliSpec | None = None
    """A model that decides whether the source implies the sentence."""
    reattribute: bool = False
    """Let an unsupported sentence name another of the given sources where that one supports it."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        if self.nli is None:
            return None
        return missing_package("transformers", extra="hf") or missing_weights(
            self.nli.model, allow_download=self.nli.allow_download
        )

    def build(self, resources: Resources) -> Citer:
        from rag.cite.checked import CheckedCiter
        from rag.cite.support import SupportChecker, Thresholds

        checker = SupportChecker(
            thresholds=Thresholds(self.supported, self.weak, self.cosine),
            embedder=resources.embedder if self.embedding else None,
            model=self.nli.model_of(resources) if self.nli else None,
        )
        return CheckedCiter(checker, reattribute=self.reattribute)


BUILT_IN: tuple[type[CiterSpec], ...] = (MarkersSpec, CheckedSpec)
