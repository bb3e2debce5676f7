"""Measuring pipelines: datasets, metrics, paired comparison, cost; and explaining single answers.

The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rag.evaluate.explain import explain  # at once: the function has the name of its module
from rag.evaluate.explanation import Explanation

if TYPE_CHECKING:
    from rag.evaluate.datasets import Dataset, Question, load_dataset
    from rag.evaluate.judge import Judge
    from rag.evaluate.report import EvalReport
    from rag.evaluate.run import evaluate

_MODULE_OF = {
    "Dataset": "datasets",
    "EvalReport": "report",
    "Judge": "judge",
    "Question": "datasets",
    "evaluate": "run",
    "load_dataset": "datasets",
}

__all__ = [
    "Dataset",
    "EvalReport",
    "Explanation",
    "Judge",
    "Question",
    "evaluate",
    "explain",
    "load_dataset",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'rag.evaluate' has no attribute {name!r}")
    return getattr(import_module(f"rag.evaluate.{_MODULE_OF[name]}"), name)
