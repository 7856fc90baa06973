"""Perplexity of generated text under a causal language model of Hugging Face format, in a local folder.

Text that repeats itself has a low perplexity: the figure means something only beside the entropy of the samples, and
beside that of held-out text of equal length, both of which `text_metrics` gives.
"""

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from pixjax.errors import InputError
from pixjax.evaluation.text_metrics import cut_alike

LONGEST_CONTEXT = 2048  # tokens: what is beyond changes little, and costs memory
CONFIG_FILE = "config.json"
_HASHED = (".json", ".safetensors", ".txt", ".model")  # what the figures depend on


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LanguageModel:
    """`log_likelihood` is of a text: nats, of all its tokens from the first, and their number.

    `sha256` is of the files in its folder.
    """

    log_likelihood: Callable[[str], tuple[float, int]]
    sha256: str


def perplexity(
    language_model: LanguageModel,
    samples: Sequence[str],
    held_out: str,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Perplexity of samples, each a text of its own, and of pieces of held-out text of the same lengths.

    Args:
      held_out: the second half, as `text_metrics` cuts it; samples beyond its length are left out.
      check: called before each text, and may raise to end the work.

    Returns:
      `perplexity`: exp of the mean negative log-likelihood of a token of the language model.
      `language_model_bits_per_char`: the same text in bits per character, comparable between tokenizers.
      `held_out/…`: the same of the pieces. Empty where no text has a token.
    """
    metrics = {}
    for prefix, texts in zip(("", "held_out/"), cut_alike([text for text in samples if text], held_out), strict=True):
        nats, tokens = 0.0, 0
        for text in texts:
            check()
            log_likelihood, count = language_model.log_likelihood(text)
            nats, tokens = nats - log_likelihood, tokens + count
        if not tokens:
            return {}
        metrics[f"{prefix}perplexity"] = math.exp(nats / tokens)
        metrics[f"{prefix}language_model_bits_per_char"] = nats / math.log(2) / sum(map(len, texts))
    return metrics


def load_language_model(folder: pathlib.Path) -> LanguageModel:
    """From `config.json`, a tokenizer and safetensors; in float32, on a GPU where PyTorch has one.

    Nothing is downloaded, and no code or pickle in the folder is run.

    Raises:
      InputError: a folder that cannot be read in this way, a tokenizer without a token to begin with, or a library
        that is missing.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"perplexity needs a library ({error}): pip install 'pixjax[lm]'") from error
    safely = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safely)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, **safely
        )
    # Whatever a file can be wrong in: the library has no error of its own for it.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{folder} does not load as a causal language model in safetensors ({reason}): save it anew with "
            "save_pretrained, its tokenizer too"
        ) from error
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if start is None:
        raise InputError(
            f"the tokenizer in {folder} has neither a token of beginning nor of end, so that the first token of a text "
            "has no probability: give another language model"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).eval()
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST_CONTEXT
    context = min(positions, LONGEST_CONTEXT)

    def log_likelihood(text: str) -> tuple[float, int]:
        # Lone surrogates, which a byte decoder may leave, are no text to a tokenizer.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        ids = [start, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
        with torch.inference_mode():
            return _log_likelihood(torch, model, torch.tensor(ids, device=device), context), len(ids) - 1

    return LanguageModel(log_likelihood=log_likelihood, sha256=_sha256(folder))


def _log_likelihood(torch: Any, model: Any, ids: Any, context: int) -> float:
    """Nats of all ids but the first; each is predicted once, from at least half a context where there is one."""
    total, done = 0.0, 1
    while done < len(ids):
        first = 0 if done == 1 else done - context // 2
        window = ids[first : first + context]
        log_probability = torch.log_softmax(model(window[None]).logits[0, :-1].float(), dim=-1)
        chosen = log_probability.gather(1, window[1:, None])[:, 0]
        total += float(chosen[done - first - 1 :].double().sum())
        done = first + len(window)
    return total


def _sha256(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _HASHED and path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
