from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.pipeline.seen import SeenIds

IDS = st.lists(st.text(st.characters(codec=None), max_size=4), max_size=30)


@given(IDS, IDS)
def test_ids_on_disk_are_a_set(added: list[str], asked: list[str]) -> None:
    kept: set[str] = set()
    with SeenIds() as seen:
        for id_ in added:
            assert seen.add(id_) == (id_ not in kept)
            kept.add(id_)
        assert [id_ in seen for id_ in [*added, *asked]] == [id_ in kept for id_ in [*added, *asked]]
