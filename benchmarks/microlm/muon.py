"""Muon: momentum made orthogonal, for weight matrices (Jordan et al. 2024; at scale: arXiv:2502.16982)."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """Updates of matrices of one shape are made orthogonal in one batched Newton-Schulz iteration."""

    def __init__(
        self, parameters: Iterable[torch.Tensor], *, rate: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for alike in shapes.values():
                updates = orthogonal(torch.stack([self._momentum(p, group["momentum"]) for p in alike]))
                rows, columns = updates.shape[-2:]
                for parameter, update in zip(alike, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["decay"])
                    parameter.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _momentum(self, parameter: torch.Tensor, momentum: float) -> torch.Tensor:
        """The gradient with Nesterov's momentum."""
        kept = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        kept.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(kept, momentum)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) to nearly the nearest matrices with orthonormal rows or columns, by five quintic steps."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x
