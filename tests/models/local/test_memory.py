from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rag.models.attention import AttentionPrompt
from rag.models.local import watching
from rag.models.local.attending import attention
from rag.models.local.model import TransformersModel


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return made


def test_memory_grows_with_the_prompt_and_not_with_its_square(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PIECE", 64)

    def largest(tokens: int) -> int:
        shared = "dogs bark " * (tokens * 10 // len("dogs bark ") // 4)
        prompt = AttentionPrompt(shared, ((0, len(shared)),), ("Query: N/A", "Query: who barks?"))
        asked = [model._asked(prompt, tail) for tail in prompt.tails]
        sizes.append(len(asked[0].encoded.ids))
        with Largest() as seen:
            attention(model.loader.load().model, asked, None)
        return int(seen.elements)

    sizes: list[int] = []
    small, large = largest(400), largest(1600)
    growth = sizes[1] / sizes[0]
    assert growth > 3.5
    assert large <= small * growth * 1.05
    assert large < sizes[1] ** 2  # not even one head's whole map
