"""A byte-level BPE tokenizer of any size, trained on text: every string has ids, and comes back exactly."""

from collections.abc import Iterable

from pixjax.errors import InputError

EOS, PAD = "<|endoftext|>", "<|pad|>"
SMALLEST = 256 + 2


def train_bpe(texts: Iterable[str], vocab_size: int) -> bytes:
    """The bytes of a `tokenizer.json` whose ids are EOS, PAD, the 256 bytes, then what was learned.

    Raises `InputError` for a vocabulary below 258, or text too short to fill it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from pixjax.codec.subword import MAX_VOCABULARY

    if not SMALLEST <= vocab_size <= MAX_VOCABULARY:
        raise InputError(f"--vocab-size={vocab_size} is out of range: choose {SMALLEST} to {MAX_VOCABULARY:,}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = tokenizer.get_vocab_size()
    if learned < vocab_size:
        raise InputError(
            f"the text yields only {learned:,} of {vocab_size:,} tokens: give more text, or a smaller size"
        )
    return tokenizer.to_str().encode("utf-8")
