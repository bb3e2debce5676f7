from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.cite.specs import CheckedSpec, NliSpec
from rag.errors import ModelError, ModelNotFoundError
from rag.models.entailment import TransformersEntailment, outputs

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dogs", "bark", "at", "night", "cats", "."]
Make = Callable[..., str]


@pytest.fixture
def classifier(tmp_path: Path) -> Make:
    """``classifier("entailment", "neutral")``: the folder of a BERT of random weights with these labels."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(*labels: str) -> str:
        folder = tmp_path / "-".join(labels)
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
        torch.manual_seed(3)
        config = transformers.BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
            initializer_range=0.5,
            id2label=dict(enumerate(labels)),
            label2id={label: at for at, label in enumerate(labels)},
        )
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
        return str(folder)

    return make


PAIRS = [("dogs bark at night .", "dogs bark ."), ("cats .", "dogs bark at night ."), ("dogs", "cats")]


def test_probabilities_are_those_of_the_labels_whatever_their_order(classifier: Make) -> None:
    first = TransformersEntailment(classifier("entailment", "neutral", "contradiction")).read(PAIRS)
    other = TransformersEntailment(classifier("CONTRADICTION", "NEUTRAL", "ENTAILMENT")).read(PAIRS)
    assert [each.entailed for each in first] == pytest.approx([each.contradicted for each in other])
    assert [each.contradicted for each in first] == pytest.approx([each.entailed for each in other])
    assert all(0 < each.entailed < 1 and each.entailed + each.contradicted < 1 for each in first)


def test_order_and_batches_change_no_probability(classifier: Make) -> None:
    folder = classifier("entailment", "not_entailment")
    together = TransformersEntailment(folder, batch_size=2).read(PAIRS)
    alone = [TransformersEntailment(folder).read([pair])[0] for pair in PAIRS]
    assert [each.entailed for each in together] == pytest.approx([each.entailed for each in alone], abs=1e-5)
    assert {each.contradicted for each in together} == {0.0}


def test_a_pair_longer_than_the_window_is_cut_at_the_longer_text(classifier: Make) -> None:
    model = TransformersEntailment(classifier("entailment", "not_entailment"))
    long, cut = model.read([("dogs bark " * 30, "cats ."), ("dogs bark " * 5 + "dogs", "cats .")])
    assert long.entailed == pytest.approx(cut.entailed, abs=1e-5)


def test_a_model_that_was_not_trained_for_it_is_refused(classifier: Make) -> None:
    with pytest.raises(ModelError, match=r"expected exactly one that begins with `entail`"):
        TransformersEntailment(classifier("LABEL_0", "LABEL_1")).read(PAIRS)
    with pytest.raises(ModelError):
        outputs({0: "entailment", 1: "entailed"}, "two")


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelNotFoundError, match="cannot load 'no/model'"):
        TransformersEntailment("no/model").read(PAIRS)


def test_a_checked_citer_says_before_it_runs_that_its_model_is_missing(classifier: Make) -> None:
    assert CheckedSpec().missing() is None
    assert "no weights of 'no/model'" in (CheckedSpec(nli=NliSpec(model="no/model")).missing() or "")
    assert CheckedSpec(nli=NliSpec(model=classifier("entailment", "neutral"))).missing() is None
