from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.models.sse import events

STREAM = 'data: {"a": 1}\r\n\r\n: keep-alive\n\nevent: note\ndata:two\ndata: ünï – 文\n\nid: 7\rdata: end\r\r'.encode()
EXPECTED = ['{"a": 1}', "two\nünï – 文", "end"]


def test_events_come_out_whole_from_one_piece() -> None:
    assert list(events([STREAM])) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(events(pieces)) == EXPECTED


@pytest.mark.parametrize("cut", [b"data: last", b"data: last\n", b"data: last\r"])
def test_an_event_without_its_blank_line_is_given_at_the_end(cut: bytes) -> None:
    assert list(events([b"data: first\n\n", cut])) == ["first", "last"]


def test_a_byte_order_mark_and_comments_are_no_data() -> None:
    assert list(events(["\ufeffdata: x\n\n:\n\n: ping\n\n".encode()])) == ["x"]
