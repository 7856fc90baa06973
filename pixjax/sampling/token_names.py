"""Tokens by themselves, as a reader is shown them."""

import numpy as np
from jaxtyping import Int

from pixjax.codec import CanvasCodec


def token_names(codec: CanvasCodec, ids: Int[np.ndarray, " tokens"]) -> tuple[str, ...]:
    """What each token reads by itself: PAD, EOS and parts of a letter by name or number."""
    special = {} if codec.pad_id == codec.eos_id else {codec.pad_id: "⟨pad⟩", codec.eos_id: "⟨end⟩"}
    names: dict[int, str] = {}
    for number in set(ids.tolist()):
        text = special.get(number) or codec.text_tokenizer.decode(np.array([number]))
        names[number] = f"⟨{number}⟩" if not text or "\ufffd" in text else text
    return tuple(names[number] for number in ids.tolist())
