from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from transformers import AutoConfig, AutoModelForCausalLM

from rag.errors import ModelError
from rag.kv.specs import NoneSpec, ReuseSpec
from rag.models.attention import Anatomy, Head
from rag.models.attention_heads import DetectedHeads
from rag.models.compress_cache_specs import (
    METHODS,
    AnyCompressCacheSpec,
    CompressCacheSpec,
    CriticSpec,
    DraftSpec,
    HeadsSpec,
    RazorSpec,
    SnapKVSpec,
    TokenSelectSpec,
)
from rag.models.llm import Message
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.local_specs import TransformersModelSpec
from rag.models.passages import Block, joined
from rag.testing.tiny_llama import make_tiny_llama

TEXTS = ["Dogs bark at night. They sleep by day.", "Cats sleep all day long.", "Rain falls in the north."] * 3
Make = Callable[..., TransformersModel]


def question(asked: str = "Who barks?") -> list[Message]:
    sources, passages = joined([Block.of(number, text) for number, text in enumerate(TEXTS, 1)])
    return [Message("user", f"{sources}\n\nQuestion: {asked}", tuple(passages))]


@pytest.fixture(scope="module")
def heads(model: TransformersModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("heads") / "heads.json"
    anatomy = model.anatomy
    every = [Head(layer, head) for layer in range(anatomy.layers) for head in range(anatomy.heads)]
    scores = tuple((head, 1 - number / 100) for number, head in enumerate(every))
    DetectedHeads(anatomy=anatomy, method="copy", data="by hand", trials=1, scores=scores).save(path)
    return str(path)


def every_method(weights: Path, heads: str, *, keep: float) -> list[CompressCacheSpec]:
    return [
        SnapKVSpec(keep=keep, minimum=0),
        CriticSpec(keep=keep, minimum=0),
        TokenSelectSpec(keep=keep, minimum=0),
        HeadsSpec(keep=keep, minimum=0, heads=heads, sinks=4, recent=8),
        RazorSpec(keep=keep, minimum=0, heads=heads, sinks=4, recent=8),
        DraftSpec(keep=keep, minimum=0, model=str(weights)),
    ]


@pytest.fixture
def make(weights: Path) -> Iterator[Make]:
    made: list[TransformersModel] = []

    def compressing(spec: CompressCacheSpec, reuse: ReuseSpec | None = None) -> TransformersModel:
        loader = Loader(str(weights), device="cpu")
        made.append(TransformersModel(loader, max_tokens=16, reuse=reuse, compress_cache=spec))
        return made[-1]

    yield compressing
    for each in made:
        each.close()


def test_where_everything_is_kept_replies_are_those_of_the_whole_cache(
    make: Make, model: TransformersModel, weights: Path, heads: str
) -> None:
    expected = {asked: model.complete(question(asked)).text[:16] for asked in ("Who barks?", "Where does rain fall?")}
    for spec in every_method(weights, heads, keep=1.0):
        for asked, text in expected.items():
            assert make(spec).complete(question(asked)).text[:16] == text


def test_what_was_kept_is_told_with_its_bytes(make: Make, weights: Path, heads: str) -> None:
    for spec in every_method(weights, heads, keep=0.6):
        usage = make(spec).complete(question()).usage
        kept = usage.kept
        assert kept is not None
        assert kept.cache_method == spec.use
        assert kept.cache_entries % usage.prompt_tokens == 0
        assert kept.cache_bytes / kept.cache_entries == kept.kept_bytes / kept.kept_entries
        share = kept.kept_entries / kept.cache_entries
        assert share == 1.0 if spec.use == "tokenselect" else 0.5 < share <= 0.6


def test_reused_chunks_and_a_smaller_cache_go_together(make: Make, weights: Path, heads: str) -> None:
    for spec in every_method(weights, heads, keep=0.5):
        model = make(spec, ReuseSpec(policy=NoneSpec()))
        cold, warm = (model.complete(question()) for _ in range(2))
        assert cold.text == warm.text
        assert warm.usage.reuse is not None
        assert warm.usage.cached_tokens > 0
        assert warm.usage.kept is not None


def test_replies_asked_for_together_are_those_written_alone(make: Make) -> None:
    model = make(SnapKVSpec(keep=0.4, minimum=0))
    assert model.concurrency == 1
    asked = [question(f"Who {verb}?") for verb in ("barks", "sleeps", "falls")]
    alone = [model.complete(messages).text for messages in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = [completion.text for completion in pool.map(model.complete, asked)]
    assert together == alone


def test_a_short_prompt_is_left_whole_and_one_without_sources_is_not(make: Make) -> None:
    assert make(SnapKVSpec(keep=0.5, minimum=2000)).complete(question()).usage.kept is None
    kept = make(SnapKVSpec(keep=0.5, minimum=0)).complete([Message("user", " ".join(TEXTS))]).usage.kept
    assert kept is not None
    assert kept.kept_entries <= 0.5 * kept.cache_entries


def test_heads_of_another_model_are_refused(make: Make, tmp_path: Path) -> None:
    other = Anatomy("other", "", "0" * 32, 2, 4)
    path = tmp_path / "heads.json"
    DetectedHeads(anatomy=other, method="copy", data="", trials=1, scores=((Head(0, 0), 1.0),)).save(path)
    for spec in (HeadsSpec(heads=str(path), minimum=0), RazorSpec(heads=str(path), minimum=0)):
        with pytest.raises(ModelError, match="these heads are those of 'other'"):
            make(spec).complete(question())


def test_a_key_head_ranks_by_its_best_query_head(make: Make, model: TransformersModel, tmp_path: Path) -> None:
    loaded = model.loader.load()
    config = loaded.model.config
    shared = config.num_attention_heads // config.num_key_value_heads
    order = [Head(1, shared), Head(0, 0), Head(1, shared), Head(1, 0), Head(0, shared)]
    path = tmp_path / "heads.json"
    scores = tuple((head, 1.0) for head in order)
    DetectedHeads(anatomy=model.anatomy, method="copy", data="", trials=1, scores=scores).save(path)
    assert HeadsSpec(heads=str(path)).ranking(loaded) == ((1, 1), (0, 0), (1, 0), (0, 1))


def test_a_draft_that_cuts_text_otherwise_is_refused(make: Make, tmp_path: Path) -> None:
    other = make_tiny_llama(tmp_path / "other", texts=["Entirely other words make other merges, sixty of them."])
    with pytest.raises(ModelError, match="does not cut text into the tokens"):
        make(DraftSpec(model=str(other), minimum=0)).complete(question())


def test_a_sliding_window_is_refused(weights: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, MistralForCausalLM

    config = AutoConfig.from_pretrained(weights).to_dict()
    wanted = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    shape = {name: config[name] for name in wanted}
    made = MistralForCausalLM(MistralForCausalLM.config_class(**shape, num_key_value_heads=2, sliding_window=50))
    made.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(weights).save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.sliding_window == 50  # the premise
    model = TransformersModel(
        Loader(str(tmp_path), device="cpu", context_tokens=2000), compress_cache=CriticSpec(minimum=0)
    )
    with pytest.raises(ModelError, match="sliding window of 50"):
        model.complete(question())
    model.close()


def test_each_method_is_chosen_by_name_and_says_that_it_is_lossy() -> None:
    one = TypeAdapter(AnyCompressCacheSpec)
    for spec in METHODS:
        use = spec.model_fields["use"].default
        needs = {"heads": {"heads": "x.json"}, "razor": {"heads": "x.json"}, "draft": {"model": "x"}}.get(use, {})
        assert isinstance(one.validate_python({"use": use, **needs}), spec)
        assert "Lossy" in (spec.__doc__ or "")
    for wrong in ({"use": "heads"}, {"use": "snapkv", "keep": 0}, {"use": "critic", "keep": 1.1}, {"use": "nothing"}):
        with pytest.raises(ValidationError):
            one.validate_python(wrong)


def test_what_a_method_needs_is_missed_before_anything_runs(weights: Path) -> None:
    spec = TransformersModelSpec(model=str(weights), compress_cache=HeadsSpec(heads="nowhere.json"))
    assert spec.missing() == "the file nowhere.json is not there; `rag heads detect` makes it"
    spec = TransformersModelSpec(model=str(weights), compress_cache=DraftSpec(model="./nowhere"))
    assert "there is no folder './nowhere'" in (spec.missing() or "")
