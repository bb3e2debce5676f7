"""For people who write components: the contract of each stage as a check, fakes, and a small indexed sample.

>>> from rag.retrieve.rrf import RrfFuser
>>> from rag.testing import check_fuser
>>> check_fuser(RrfFuser(keep=5), keep=5)
"""

from rag.testing.contracts import (
    check_citer,
    check_compressor,
    check_expander,
    check_fuser,
    check_generator,
    check_order,
    check_reranker,
    check_retriever,
    check_transform,
)
from rag.testing.documents import check_chunker, check_enricher
from rag.testing.models import ScriptedModel
from rag.testing.sample import QUESTIONS, TEXTS, Sample, SampleResources, sample
from rag.testing.triggers import check_query_builder, check_trigger

__all__ = [
    "QUESTIONS",
    "TEXTS",
    "Sample",
    "SampleResources",
    "ScriptedModel",
    "check_chunker",
    "check_citer",
    "check_compressor",
    "check_enricher",
    "check_expander",
    "check_fuser",
    "check_generator",
    "check_order",
    "check_query_builder",
    "check_reranker",
    "check_retriever",
    "check_transform",
    "check_trigger",
    "sample",
]
