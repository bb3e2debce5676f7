"""A random language model in the form of Llama, small enough to make in a test: it writes always the same nonsense.

Needs torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.testing.sample import QUESTIONS, TEXTS

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""A chat format with a mark for each role."""


def make_tiny_llama(
    folder: Path,
    *,
    texts: Sequence[str] = (*TEXTS.values(), *QUESTIONS),
    vocabulary: int = 384,
    hidden: int = 64,
    layers: int = 2,
    window: int = 2048,
    seed: int = 0,
    endless: bool = False,
) -> Path:
    """Write weights (float32, safetensors) and a byte-level tokenizer trained on `texts` with a chat format.

    Weights are drawn ten times as wide as usual, so that what comes next depends on the prompt and two tokens are
    hardly ever as probable. Heads are 32 wide, the least that vLLM's kernels for CPUs take; half share keys and values.

    Args:
        vocabulary: at most so many tokens, 256 bytes and 7 marks among them.
        hidden: a multiple of 64.
        window: positions, in tokens.
        endless: it does not end a reply by itself; there is always a likelier token.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    marks = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|unknown|>", "<|pad|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers does not type it
        tokenizer_object=tokenizer, bos_token=marks[0], eos_token=marks[1], unk_token=marks[5], pad_token=marks[6]
    )
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=window,
        initializer_range=0.2,
        bos_token_id=tokenizer.token_to_id(marks[0]),
        eos_token_id=tokenizer.token_to_id(marks[1]),
        pad_token_id=tokenizer.token_to_id(marks[6]),
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    if endless:
        with torch.no_grad():
            model.lm_head.weight[config.eos_token_id] = 0.0
    model.save_pretrained(folder)
    return folder
