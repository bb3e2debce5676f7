"""Records how chunks attend to each other while they are computed, for Cache-Craft (arXiv 2502.15734, eq. 3, 4).

Which tokens depend on the chunks in front (eq. 14) is ours: a token counts by the head and the layer that look there
most, where the paper takes the mean of heads. Few heads read from chunk to chunk; in the mean they go under among those
that look back at nothing in particular.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rag.kv.layout import Layout, Place
from rag.kv.variant import Profile


class Recorder:
    """An observer of a pass."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        rows, chunks = len(layout.ids), len(layout.chunks)
        self._member = torch.zeros(rows, chunks)
        self._earlier = torch.zeros(rows, chunks)
        for number, place in enumerate(layout.chunks):
            self._member[place.start : place.end, number] = 1
            self._earlier[place.start : place.end, :number] = 1
        self._paid = torch.zeros(rows, chunks)  # attention of each row to each chunk, mean of heads, summed over layers
        self._most = torch.zeros(rows)  # of all heads and layers the most that a row paid to the chunks in front
        self._layers: set[int] = set()

    def __call__(self, layer: int, positions: Tensor, attention: Tensor) -> None:
        self._layers.add(layer)
        paid = (attention @ self._member[: attention.shape[2]].to(attention)).cpu()  # (heads, rows, chunks)
        self._paid.index_add_(0, positions, paid.mean(0))
        most = (paid * self._earlier[positions]).sum(2).amax(0)
        self._most[positions] = torch.maximum(self._most[positions], most)

    def profile(self, place: Place) -> tuple[Profile, Tensor]:
        """Of a chunk all of whose rows were computed: its profile, and (tokens,) the most that each paid to chunks in
        front."""
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
        return profile, self._most[place.start : place.end].clone()
