"""Records how chunks attend to each other while they are computed, for Cache-Craft (arXiv 2502.15734, eq. 3, 4, 14)."""

from __future__ import annotations

import torch
from torch import Tensor

from rag.kv.layout import Layout, Place
from rag.kv.variant import Profile


class Recorder:
    """An observer of a pass; heads are averaged, layers too."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        rows, chunks = len(layout.ids), len(layout.chunks)
        self._member = torch.zeros(rows, chunks)
        for number, place in enumerate(layout.chunks):
            self._member[place.start : place.end, number] = 1
        self._paid = torch.zeros(rows, chunks)  # attention of each row to each chunk, summed over layers
        self._layers: set[int] = set()

    def __call__(self, layer: int, positions: Tensor, attention: Tensor) -> None:
        self._layers.add(layer)
        mean = attention.mean(0)
        paid = mean @ self._member[: mean.shape[1]].to(mean)
        self._paid.index_add_(0, positions, paid.cpu())

    def profile(self, place: Place) -> tuple[Profile, Tensor]:
        """Of a chunk all of whose rows were computed: its profile, and (tokens,) what each paid to chunks in front."""
        number = self.layout.chunks.index(place)
        paid = self._paid[place.start : place.end] / len(self._layers)
        tokens = place.end - place.start
        inter = paid[:, :number].sum(0)
        sizes = torch.tensor([float(other.end - other.start) for other in self.layout.chunks[:number]])
        profile = Profile(
            place.before,
            tuple(inter.tolist()),
            outside=float((inter / (tokens * sizes)).sum()),
            inside=float(paid[:, number].sum()) / tokens**2,
        )
        return profile, paid[:, :number].sum(1)
