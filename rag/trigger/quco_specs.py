"""The options of the triggers that ask corpus counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rag.config.stage import Use
from rag.index.counts_specs import CountsSpec, LocalCountsSpec
from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.index.counts import CorpusCounts
    from rag.resources import Resources
    from rag.trigger.base import Trigger
    from rag.trigger.quco_threshold import Threshold


class CountingSpec(TriggerSpec):
    """What the triggers that count have in common."""

    counts: Annotated[CountsSpec, Use("counts")] = LocalCountsSpec()
    """Who counts: the pipeline's own documents, or a server over a corpus that models are trained on."""
    below: float | None = Field(None, ge=0)
    """The count below which something is rare; unset: `quantile` decides."""
    quantile: float = Field(0.2, ge=0, le=1)
    """Without `below`: the share of the documents' own entities that count as rare."""

    @model_validator(mode="after")
    def _server_counts_need_a_number(self) -> CountingSpec:
        if self.below is None and not isinstance(self.counts, LocalCountsSpec):
            raise PydanticCustomError(
                "below", "`below` is unset: a quantile is of the pipeline's own documents, `counts` are of others"
            )
        return self

    @property
    def skips(self) -> bool:
        return True

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        yield from super().conflicts(pipeline, path)
        yield from self.left_without_evidence(pipeline, path)

    def counter(self, resources: Resources) -> CorpusCounts:
        return resources.shared(self.counts, lambda: self.counts.build(resources.index))

    def threshold(self, resources: Resources) -> Threshold:
        from rag.trigger.quco_threshold import Absolute, Quantile

        if self.below is not None:
            return Absolute(self.below)
        return Quantile(self.quantile, self.counter(resources), resources.index)


class QucoSpec(CountingSpec):
    """By counts: before writing if the question's entities are rare, while writing if a pair is unheard of.

    QuCo-RAG, arXiv 2512.19134; entities and statements by rules instead of a trained extractor.
    """

    use: Literal["quco"] = "quco"
    aggregate: Literal["mean", "min"] = "mean"
    """How the counts of several entities become one; the mean, as published, hides a rare one beside a frequent one."""
    window: int = Field(1000, ge=1, le=1000)
    """Words within which the two ends of a statement must occur together, once at least."""
    least_head: int = Field(20, ge=-1)
    """Occurrences that the head of a statement without a tail must have; -1: such statements are never in doubt."""
    stops: bool = False
    """Whether to end after "the answer is", and before a sentence that does not know (English), as published."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.quco import Quco

        return Quco(
            self.counter(resources),
            self.threshold(resources),
            aggregate=self.aggregate,
            window=self.window,
            least_head=self.least_head,
            stops=self.stops,
        )


class RelationsSpec(CountingSpec):
    """What the triggers by popularity have in common."""

    relations: dict[str, Annotated[float, Field(ge=0)]] = Field({}, max_length=10_000)
    """Thresholds for questions of one relation each, by the words that such a question has: `{director: 40}`; 0 never
    retrieves, `.inf` always. `rag counts --fit` finds them. All other questions go by `below` or `quantile`."""

    @field_validator("relations")
    @classmethod
    def _relations_have_words(cls, relations: dict[str, float]) -> dict[str, float]:
        from rag.trigger.relations import telling

        if wordless := [name for name in relations if not telling(name)]:
            message = "{name} has no word that tells a question of it from others"
            raise PydanticCustomError("relation", message, {"name": repr(wordless[0])})
        return relations


class PopularitySpec(RelationsSpec):
    """Retrieves if the question's rarest entity is unpopular, or none is named. After arXiv 2212.10511."""

    use: Literal["popularity"] = "popularity"

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.popularity import Popularity

        return Popularity(self.counter(resources), self.threshold(resources), self.relations)


class SubjectRelationSpec(RelationsSpec):
    """Retrieves if the question's entities seldom occur near what is asked of them.

    After WiTQA, arXiv 2402.13492; the rule is ours.
    """

    use: Literal["subject-relation"] = "subject-relation"
    window: int = Field(50, ge=1, le=1000)
    """Words within which they must occur together."""

    def build(self, resources: Resources) -> Trigger:
        from rag.trigger.popularity import SubjectRelation

        return SubjectRelation(self.counter(resources), self.threshold(resources), self.relations, window=self.window)


BUILT_IN: tuple[type[TriggerSpec], ...] = (QucoSpec, PopularitySpec, SubjectRelationSpec)
