"""The word-level tokenizer of the micro model."""

from __future__ import annotations

from microlm import data
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
CHAT = "".join(
    (
        "{% for message in messages %}",
        "{% if message['role'] == 'assistant' %}{{ 'Answer: ' + message['content'] + eos_token }}",
        "{% else %}{{ message['content'] + '\\n' }}{% endif %}",
        "{% endfor %}{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}",
    )
)
"""The contents one below the other, then the cue after which the model answers."""
WINDOW = 1024
"""Tokens; the longest prompts of the training have about 300."""
UNREAD = r' from="[^"]*">'
PIECES = r'<source id="\d+"|</source>|Question:|Answer:|N/A|\[\d+\]|[A-Za-z]+|[.?!,;:]'


def build() -> PreTrainedTokenizerFast:
    """Words, marks and the rendered tags of sources, one token each; what is not in the vocabulary is ``<unk>``.

    Where a source comes from (``from="..."``) is not read, so that a document's name and place cost nothing.
    """
    vocabulary = {word: number for number, word in enumerate((PAD, EOS, UNKNOWN, *data.words()))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(UNREAD), "removed"),
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.Split(Regex(r"^\s+$"), "removed"),
        ]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT
    return fast
