"""Measuring pipelines: datasets, metrics, paired comparison, cost."""

from rag.evaluate.explain import Explanation, explain

__all__ = ["Explanation", "explain"]
