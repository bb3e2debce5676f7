from __future__ import annotations

import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import StoreError
from rag.kv.chunk import ChunkCache
from rag.kv.policy.first_k import FirstTokens
from rag.kv.specs import CacheCraftSpec, FullSpec, NoneSpec, ReuseSpec
from rag.kv.store.disk import DiskTier
from rag.kv.store.eviction import Gdsf
from rag.kv.store.index import CacheIndex, Row
from rag.kv.store.memory import MemoryTier
from rag.kv.store.tiered import TieredStore
from rag.kv.variant import Profile, Variant
from rag.testing.kv import IDENTITY, chunk, engine, reference, text, tiny, tokens

HOST = torch.device("cpu")


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def variant(number: int, *, context: bytes = b"", work: float = 1.0, profile: Profile | None = None) -> Variant:
    return Variant(key(number), context, 5, work, profile)


def cache(number: int, *, count: int = 5) -> ChunkCache:
    draw = torch.Generator().manual_seed(number)
    return ChunkCache(*(torch.randn(2, 3, count, 8, generator=draw) for _ in "kv"), base=7)


SIZE = cache(0).size


def on_disk(folder: Path, *, budget: int = 10**9, variants: int = 4) -> DiskTier:
    return DiskTier(folder, budget, model="tiny", variants=variants)


def tiered(folder: Path | None, *, memory: int = 10**9) -> TieredStore:
    return TieredStore(
        device=MemoryTier(0, variants=4),
        memory=MemoryTier(memory, variants=4),
        disk=on_disk(folder) if folder else None,
        precision="model",
    )


def test_the_evicted_are_those_with_the_lowest_clock_plus_hits_times_work_by_size() -> None:
    gdsf = Gdsf(budget=30)
    gdsf.add(key(1), work=20.0, size=10)  # 0 + 1 * 20 / 10 = 2
    gdsf.add(key(2), work=5.0, size=10)  # 0.5
    gdsf.add(key(3), work=10.0, size=10)  # 1
    gdsf.touch(key(2))  # 1.0
    gdsf.touch(key(2))  # 1.5
    assert gdsf.add(key(4), work=1.0, size=10) == [key(3)]
    assert gdsf.clock == 1.0
    assert gdsf.worth(key(4)) == pytest.approx(1.1)
    assert gdsf.add(key(5), work=9.0, size=20) == [key(4), key(2)]
    assert gdsf.clock == 1.5
    assert gdsf.add(key(6), work=1.0, size=31) is None


def test_what_was_once_popular_goes_when_the_clock_has_passed_it() -> None:
    gdsf = Gdsf(budget=2)
    gdsf.add(key(0), work=1.0, size=1)
    for _ in range(9):
        gdsf.touch(key(0))
    for number in range(1, 30):
        gdsf.add(key(number), work=1.0, size=1)
    assert key(0) not in gdsf


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60), st.booleans()), max_size=80))
def test_a_tier_never_holds_more_than_its_budget(steps: list[tuple[int, int, bool]]) -> None:
    gdsf = Gdsf(budget=100)
    for number, size, touch in steps:
        if touch and key(number) in gdsf:
            gdsf.touch(key(number))
        else:
            gdsf.add(key(number), work=float(number), size=size)
        assert gdsf.size <= 100


def test_int8_is_off_by_at_most_half_a_step_and_bf16_by_its_rounding() -> None:
    whole = cache(3, count=40)
    small = whole.rounded("int8")
    keys, values = small.slice(0, 40)
    assert (keys - whole.keys).abs().max() <= whole.keys.abs().amax(2, keepdim=True).max() / 127 / 2 * 1.001
    assert ((keys - whole.keys).abs() <= whole.keys.abs().amax(2, keepdim=True) / 254 * 1.001).all()
    assert ((values - whole.values).abs() <= whole.values.abs().amax(3, keepdim=True) / 254 * 1.001).all()
    assert small.size < whole.size / 2.5  # with the scales of these narrow heads
    half = whole.rounded("bf16")
    assert ((half.keys.float() - whole.keys).abs() <= whole.keys.abs() / 256).all()


def test_a_cache_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    for number, precision in enumerate(("model", "bf16", "int8")):
        kept = cache(number).rounded(precision).scored(torch.arange(5.0))  # type: ignore[arg-type]
        on_disk(tmp_path).add(variant(number, profile=Profile((key(8),), (0.25,), 0.5, 0.125)), kept)
        back = on_disk(tmp_path)
        (found,) = back.index.variants(key(number))
        assert found == variant(number, profile=Profile((key(8),), (0.25,), 0.5, 0.125))
        read = back.get(found)
        assert read is not None
        assert read.base == 7
        assert read.tensors().keys() == kept.tensors().keys()
        for name, tensor in kept.tensors().items():
            assert torch.equal(read.tensors()[name], tensor)
            assert read.tensors()[name].dtype == tensor.dtype


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_file_with_one_flipped_bit_is_removed_and_not_used(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("caches")
    on_disk(folder).add(variant(1), cache(1))
    (file,) = folder.glob("??/*.safetensors")
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 1 << bit
    file.write_bytes(content)
    tier = on_disk(folder)
    assert tier.get(variant(1)) is None
    assert tier.damaged == 1
    assert tier.index.variants(key(1)) == []
    assert not file.exists()


@pytest.mark.parametrize("keep", [0, 1, 7, 100])
def test_a_file_cut_short_is_not_used(tmp_path: Path, keep: int) -> None:
    on_disk(tmp_path).add(variant(1), cache(1))
    (file,) = tmp_path.glob("??/*.safetensors")
    os.truncate(file, keep)
    assert on_disk(tmp_path).get(variant(1)) is None


def test_a_damaged_cache_is_computed_again_and_the_answer_is_right(tmp_path: Path) -> None:
    model, prompt = tiny("llama"), [chunk(tokens(1, 30)), text(tokens(2, 4))]
    first = tiered(tmp_path)
    expected = engine(model, FirstTokens(tokens=1), first).prefill(tokens(0, 6), prompt).logits
    first.close()
    for file in tmp_path.glob("??/*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-3] ^= 16
        file.write_bytes(content)
    again = tiered(tmp_path)
    got = engine(model, FirstTokens(tokens=1), again).prefill(tokens(0, 6), prompt)
    assert (got.report.hits, got.report.misses, got.report.encoded) == (0, 1, 36)
    assert again.disk is not None
    assert again.disk.damaged == 2
    torch.testing.assert_close(got.logits, expected)
    again.close()
    third = engine(model, FirstTokens(tokens=1), tiered(tmp_path)).prefill(tokens(0, 6), prompt)
    assert third.report.hits == 1
    assert third.report.loaded.keys() == {"disk"}
    torch.testing.assert_close(third.logits, reference(model, third.ids), atol=1e-4, rtol=0)


def test_the_disk_tier_stays_within_its_budget_and_keeps_the_worthiest(tmp_path: Path) -> None:
    tier = on_disk(tmp_path, budget=4 * (SIZE + 600))
    for number in range(1, 10):
        tier.add(variant(number, work=100.0 if number == 1 else 1.0), cache(number))
    held = sum(file.stat().st_size for file in tmp_path.glob("??/*.safetensors"))
    assert held <= tier.budget
    assert tier.get(variant(1, work=100.0)) is not None
    assert len(tier.index.rows()) == len(list(tmp_path.glob("??/*.safetensors")))
    assert sum(totals.size for totals in tier.index.totals().values()) == held


def test_a_cache_whose_file_is_larger_than_the_budget_displaces_nothing(tmp_path: Path) -> None:
    on_disk(tmp_path).add(variant(1), cache(1))
    (file,) = tmp_path.glob("??/*")
    full = on_disk(tmp_path, budget=file.stat().st_size)
    full.add(variant(2), cache(2, count=5))
    assert len(full.index.rows()) == 1  # one fits
    small = on_disk(tmp_path, budget=SIZE + 1)  # less than a file's head adds
    small.add(variant(3), cache(3))
    assert [row.variant.chunk for row in small.index.rows()] == [key(2)]


def test_a_used_cache_outlives_one_that_is_not(tmp_path: Path) -> None:
    tier = on_disk(tmp_path, budget=2 * (SIZE + 600))
    tier.add(variant(1), cache(1))
    tier.add(variant(2), cache(2))
    assert tier.get(variant(1)) is not None
    tier.add(variant(3), cache(3))
    assert {row.variant.chunk for row in tier.index.rows()} == {key(1), key(3)}


@pytest.mark.parametrize("tier", ["disk", "memory"])
def test_a_chunk_has_at_most_so_many_variants(tmp_path: Path, tier: str) -> None:
    store = tiered(tmp_path if tier == "disk" else None, memory=0 if tier == "disk" else 10**9)
    for number in range(6):
        store.put(variant(1, context=key(number)), cache(number))
        store.settle()
    contexts = {found.context for found in store.variants(key(1))}
    assert len(contexts) == 4
    assert key(5) in contexts


def test_verify_removes_what_is_damaged_and_what_no_row_names(tmp_path: Path) -> None:
    tier = on_disk(tmp_path)
    for number in (1, 2, 3):
        tier.add(variant(number), cache(number))
    files = sorted(tmp_path.glob("??/*.safetensors"))
    files[0].write_bytes(b"nonsense")
    files[1].unlink()
    (files[2].parent / "left.123.tmp").write_bytes(b"a killed writer's")
    (files[2].parent / "00ff.safetensors").write_bytes(b"nobody's")
    found = tier.verify()
    assert (found.intact, found.damaged, found.orphans) == (1, 2, 2)
    again = tier.verify()
    assert (again.intact, again.damaged, again.orphans) == (1, 0, 0)


def test_an_index_that_is_no_database_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="delete the folder"):
        on_disk(tmp_path).index.variants(key(1))


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        on_disk(tmp_path).index.variants(key(1))


def test_a_put_does_not_wait_for_the_disk_nor_a_preload_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tiered(tmp_path, memory=0)
    written = threading.Event()
    add = DiskTier.add

    def slow(self: DiskTier, *rest: object) -> None:
        assert written.wait(30)
        add(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(DiskTier, "add", slow)
    store.put(variant(1), cache(1))
    store.preload([variant(1)], HOST)
    loaded = store.load(variant(1), HOST)  # from what waits to be written
    assert loaded is not None
    assert loaded.tier == "memory"
    written.set()
    store.settle()
    loaded = store.load(variant(1), HOST)
    assert loaded is not None
    assert loaded.tier == "disk"
    store.close()


def test_a_preloaded_cache_is_found_in_memory(tmp_path: Path) -> None:
    first = tiered(tmp_path)
    first.put(variant(1), cache(1))
    first.close()
    store = tiered(tmp_path)
    store.preload(store.variants(key(1)), HOST)
    store.settle()
    loaded = store.load(variant(1), HOST)
    assert loaded is not None
    assert loaded.tier == "memory"
    assert torch.equal(loaded.cache.keys, cache(1).keys)


WRITER = """
import random, sys
from pathlib import Path
from rag.kv.store.disk import DiskTier
from rag.kv.chunk import ChunkCache
from rag.kv.variant import Variant
import torch
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
tier = DiskTier(folder, 60_000, model="tiny", variants=4)
draw = random.Random(seed)
while True:
    number = draw.randrange(40)
    fill = torch.full((2, 3, 5, 8), float(number))
    print(number, flush=True)
    tier.add(Variant(number.to_bytes(16, "big"), b"", 5, 1.0), ChunkCache(fill, fill + 0.5, base=number))
"""


def test_writers_killed_at_any_moment_leave_only_whole_caches(tmp_path: Path) -> None:
    draw = random.Random(5)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(seed)], stdout=subprocess.PIPE)
        for seed in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(draw.randrange(60, 120)):  # caches begun; one is being written when the process is killed
            assert writer.stdout.readline()
        writer.kill()
    for writer in writers:
        writer.communicate()
    tier = on_disk(tmp_path, budget=60_000)
    rows = tier.index.rows()
    intact = 0
    for row in rows:
        read = tier.get(row.variant)
        if read is None:  # two writers of one key crossed: found out, not used
            continue
        intact += 1
        number = int.from_bytes(row.variant.chunk, "big")
        assert read.base == number
        assert (read.keys == number).all()
        assert (read.values == number + 0.5).all()
    assert intact > len(rows) / 2 > 5
    tier.verify()
    assert sum(file.stat().st_size for file in tmp_path.glob("??/*")) <= 60_000


@pytest.mark.slow
def test_metadata_of_a_million_caches_stays_under_a_gigabyte_and_a_millisecond_a_lookup(tmp_path: Path) -> None:
    index = CacheIndex(tmp_path / "index.sqlite", model="tiny", variants=4)
    index.variants(key(0))
    with index._writing() as database:
        database.execute("INSERT INTO models(name) VALUES ('tiny')")
        profile = bytes(16 + 4 * 24)  # four chunks in front
        draw = random.Random(0)
        database.executemany(
            "INSERT INTO caches VALUES (?, ?, 100, 1.0, 1000, 7, 1, ?, 1, ?)",
            ((draw.randbytes(16), draw.randbytes(16), draw.random(), profile) for _ in range(1_000_000)),
        )
        chunks = [row[0] for row in database.execute("SELECT chunk FROM caches LIMIT 2000")]
    index.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2**30
    draw.shuffle(chunks)
    seconds = []
    for wanted in chunks:
        started = time.perf_counter()
        assert index.variants(wanted)
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[len(seconds) // 2] < 1e-3
    index.add(Row(variant(1), 1000, 7), budget=10**12)


def test_the_default_options_are_exact_and_rounding_is_not() -> None:
    assert ReuseSpec().exact
    assert not ReuseSpec(precision="int8").exact
    assert not ReuseSpec(policy=NoneSpec()).exact
    assert ReuseSpec(policy=FullSpec(), precision="bf16").exact
    assert ReuseSpec.model_validate({"policy": {"use": "cache_craft", "alpha": 0.5}}).policy == CacheCraftSpec(
        alpha=0.5
    )


def test_a_store_made_from_options_serves_another_process_from_disk(tmp_path: Path) -> None:
    spec = ReuseSpec.model_validate({"policy": {"use": "none"}, "path": tmp_path / "kv", "precision": "bf16"})
    prompt = [chunk(tokens(1, 30)), text(tokens(2, 4))]
    first = spec.store(IDENTITY)
    engine(tiny("llama"), spec.policy.build(), first).prefill(tokens(0, 6), prompt)
    first.close()
    second = spec.store(IDENTITY)
    report = engine(tiny("llama"), spec.policy.build(), second).prefill(tokens(0, 6), prompt).report
    assert (report.hits, report.misses) == (1, 0)
    assert report.loaded.keys() == {"disk"}
    second.close()


def test_the_engine_preloads_what_a_prompt_will_need_and_warms_what_is_missing(tmp_path: Path) -> None:
    prompt = [chunk(tokens(1, 30)), chunk(tokens(2, 30)), text(tokens(3, 4))]
    first = tiered(tmp_path)
    warming = engine(tiny("llama"), FirstTokens(tokens=1), first)
    assert warming.warm(tokens(0, 6), prompt) == 2
    assert warming.warm(tokens(0, 6), prompt) == 0
    first.close()
    store = tiered(tmp_path)
    reusing = engine(tiny("llama"), FirstTokens(tokens=1), store)
    reusing.preload(tokens(0, 6), prompt)
    store.settle()
    report = reusing.prefill(tokens(0, 6), prompt).report
    assert report.hits == 2
    assert report.loaded["memory"] == 10 * report.loaded["disk"]  # 60 tokens of chunks; 6 of the prefix, from disk
    store.close()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that is full: the system itself refuses what is written behind `size` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("refused", ["file", "row"])
def test_a_cache_that_finds_no_room_on_disk_leaves_nothing_there_and_is_used_from_memory(
    tmp_path: Path, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = tiered(tmp_path)
    assert store.disk is not None
    store.put(variant(1), cache(1))
    store.settle()
    room = SIZE // 2 if refused == "file" else 2 * SIZE
    if refused == "row":  # the file of the index is larger than any cache's
        room = max(room, max(file.stat().st_size for file in tmp_path.glob("??/*")) + 1)
        assert (tmp_path / "index.sqlite-wal").stat().st_size > room
    with files_no_larger_than(room):
        store.put(variant(2), cache(2))
        store.settle()
        assert store.load(variant(2), HOST) is not None
        assert "could not be moved" in caplog.text
    assert len(list(tmp_path.glob("??/*"))) == 1
    store.put(variant(2), cache(2))  # there is room again
    store.close()
    found = on_disk(tmp_path).get(variant(2))
    assert found is not None
    assert torch.equal(found.keys, cache(2).keys)


def test_uses_that_cannot_be_written_at_the_end_fail_no_question(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tiered(tmp_path, memory=0)
    store.put(variant(1), cache(1))
    store.settle()
    assert store.load(variant(1), HOST) is not None
    with files_no_larger_than(100):
        store.close()
    assert "could not be written" in caplog.text
    assert on_disk(tmp_path).verify().intact == 1


def test_a_damaged_cache_that_cannot_be_removed_is_still_not_used(tmp_path: Path) -> None:
    tier = on_disk(tmp_path)
    tier.add(variant(1), cache(1))
    (file,) = tmp_path.glob("??/*.safetensors")
    file.write_bytes(b"x" * file.stat().st_size)
    with files_no_larger_than(100):
        for _ in range(2):
            assert tier.get(variant(1)) is None
    assert tier.get(variant(1)) is None
    assert not tier.index.rows()


def test_a_folder_that_cannot_be_made_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"index\.sqlite") as raised:
        tiered(tmp_path / "file").variants(key(1))
    assert raised.value.hint is not None
    assert "llm.reuse.path" in raised.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_is_an_error_that_says_where(tmp_path: Path) -> None:
    folder = tmp_path / "kv"
    tiered(folder).variants(key(1))
    folder.chmod(0o500)
    with pytest.raises(StoreError, match=r"index\.sqlite") as raised:
        on_disk(folder).add(variant(1), cache(1))
    assert "llm.reuse.path" in str(raised.value.hint)


def test_tiers_without_room_keep_nothing_and_everything_is_computed() -> None:
    model, prompt = tiny("llama"), [chunk(tokens(1, 20)), chunk(tokens(1, 20)), text(tokens(2, 4))]
    reusing = engine(model, FirstTokens(tokens=1000), ReuseSpec(memory_mb=0).store(IDENTITY))
    for _ in range(2):
        got = reusing.prefill(tokens(0, 6), prompt)
        assert (got.report.hits, got.report.misses, got.report.reused) == (0, 2, 6)
        torch.testing.assert_close(got.logits, reference(model, got.ids), atol=1e-4, rtol=0)


def test_two_writers_of_one_cache_leave_one_that_is_whole(tmp_path: Path) -> None:
    tiers = [on_disk(tmp_path), on_disk(tmp_path)]
    for tier in (*tiers, *tiers[::-1]):
        tier.add(variant(1), cache(1))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tier: [tier.add(variant(2), cache(2)) for _ in range(20)], tiers))
    for tier in (*tiers, on_disk(tmp_path)):
        for number in (1, 2):
            found = tier.get(variant(number))
            assert found is not None
            assert torch.equal(found.keys, cache(number).keys)
    assert len(list(tmp_path.glob("??/*"))) == len(tiers[0].index.rows()) == 2
    held = sum(file.stat().st_size for file in tmp_path.glob("??/*"))
    assert sum(totals.size for totals in tiers[0].index.totals().values()) == held
