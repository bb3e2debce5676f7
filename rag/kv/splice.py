"""A transformers cache whose layers are filled beforehand; a pass writes its fresh rows into their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from rag.kv.chunk import ChunkCache
from rag.kv.rope import Shift
from rag.kv.types import TokenRange

ROOM = 128
"""Tokens that can be appended before a layer's buffer must grow."""

Watch: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Called before rows are overwritten: old keys, new keys, old values, new values, each (1, heads, rows, d)."""


class SplicedLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # its base class has an untyped hook
    """Keys and values of one layer in a buffer with room at its end.

    While `rows` is set, an update overwrites these rows; else it appends, like any dynamic layer, but in place.
    """

    def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: Tensor | slice | None = None
        self.watch: Watch | None = None
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._key_buffer, self._value_buffer = keys, values
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if self.rows is None or self.keys is None or self.values is None:
            return self._append(key_states, value_states)
        if self.watch is not None:
            self.watch(self.keys[:, :, self.rows], key_states, self.values[:, :, self.rows], value_states)
        if isinstance(self.rows, slice):
            self.keys[:, :, self.rows] = key_states
            self.values[:, :, self.rows] = value_states
        else:
            self.keys.index_copy_(2, self.rows, key_states)
            self.values.index_copy_(2, self.rows, value_states)
        return self.keys, self.values

    def _append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        held = self.get_seq_length()
        total = held + keys.shape[2]
        # A crop leaves a view of the buffer, which is written on; beam search replaces the tensors, which are not.
        ours = self.keys is not None and self.keys.data_ptr() == self._key_buffer.data_ptr()
        if not ours or total > self._key_buffer.shape[2] or keys.shape[0] != self._key_buffer.shape[0]:
            shape = (*keys.shape[:2], total + max(ROOM, total // 8))
            key_buffer, value_buffer = keys.new_empty(*shape, keys.shape[3]), values.new_empty(*shape, values.shape[3])
            if self.keys is not None and self.values is not None:
                key_buffer[:, :, :held], value_buffer[:, :, :held] = self.keys, self.values
            self._key_buffer, self._value_buffer = key_buffer, value_buffer
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._key_buffer[:, :, held:total], self._value_buffer[:, :, held:total] = keys, values
        self.keys, self.values = self._key_buffer[:, :, :total], self._value_buffer[:, :, :total]
        return self.keys, self.values


class Splice:
    """The keys and values of one prompt of `length` tokens, all layers in one buffer each, rows empty until filled."""

    def __init__(
        self, shifts: Sequence[Shift], *, length: int, shape: tuple[int, int, int], like: Tensor, room: int = ROOM
    ) -> None:
        """`shape` is key heads, channels of a key, channels of a value; `like` gives type and device."""
        heads, key_width, value_width = shape
        self.shifts = shifts
        self.length = length
        self.keys = like.new_empty(len(shifts), heads, length + room, key_width)
        self.values = like.new_empty(len(shifts), heads, length + room, value_width)
        self.layers = [
            SplicedLayer(keys[None], values[None], length) for keys, values in zip(self.keys, self.values, strict=True)
        ]
        self.cache = Cache(layers=list(self.layers))

    def place(self, chunk: ChunkCache, at: int, ranges: Sequence[TokenRange]) -> None:
        """Put `ranges` of a chunk's tokens from row `at` on, one after the other, its keys moved there."""
        for start, end in ranges:
            to = slice(at, at + end - start)
            delta = at - (chunk.base + start)
            keys, values = chunk.slice(start, end)
            for first, last in _runs(self.shifts):
                self.shifts[first].into(self.keys[first:last, :, to], keys[first:last], delta)
            self.values[:, :, to].copy_(values)
            at += end - start

    def take(self, start: int, end: int) -> ChunkCache:
        """A copy of rows [start, end) with their position."""
        rows = slice(start, end)
        return ChunkCache(self.keys[:, :, rows].clone(), self.values[:, :, rows].clone(), base=start)

    def view(self) -> ChunkCache:
        """All rows, not copied."""
        return ChunkCache(self.keys[:, :, : self.length], self.values[:, :, : self.length], base=0)

    def overwrite(self, rows: Tensor | None) -> None:
        """Make the next pass write to `rows` (ascending); ``None``: make it append."""
        to: Tensor | slice | None = rows
        if rows is not None:
            first, last = int(rows[0]), int(rows[-1])
            to = slice(first, last + 1) if last - first + 1 == len(rows) else rows.to(self.keys.device)
        for layer in self.layers:
            layer.rows = to


def _runs(shifts: Sequence[Shift]) -> list[tuple[int, int]]:
    """Stretches of layers that move alike: one for most models."""
    runs: list[tuple[int, int]] = []
    for layer, shift in enumerate(shifts):
        if runs and (shift is shifts[layer - 1] or shift.same(shifts[layer - 1])):
            runs[-1] = (runs[-1][0], layer + 1)
        else:
            runs.append((layer, layer + 1))
    return runs
