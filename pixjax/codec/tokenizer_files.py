"""The files of a tokenizer, and the tokenizer that they make.

A codec holds the bytes of these files, not only their path: a checkpoint, or a PNG, carries them wherever it
goes.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping

from pixjax.codec.subword import gpt2_tokenizer, hugging_face_tokenizer, sentencepiece_tokenizer
from pixjax.codec.tokenizer import ByteTokenizer, LetterTokenizer, Tokenizer
from pixjax.errors import InputError
from pixjax.paths import is_remote, reachable_path

BUILT_IN = ("bytes", "chars27")
MAX_BYTES = 128 * 2**20
# The names under which the files are kept.
JSON, VOCAB, MERGES, MODEL = "tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model"


def read_tokenizer_files(spec: str) -> dict[str, bytes]:
    """The files that `spec` names, by the name they are kept under; none for the built-in tokenizers.

    spec: `bytes`, `chars27`, FILE.json, FILE.model, or a folder with `vocab.json` and `merges.txt` (or one
    `tokenizer.json` or `.model`). A FILE.json may also be GPT-2's vocabulary with its merges beside it.
    Raises `InputError` when there is no such file.
    """
    if spec in BUILT_IN:
        return {}
    path = reachable_path(spec, "codec.tokenizer")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix not in (".json", ".model"):
        raise InputError(
            f"tokenizer {spec!r} is unknown: choose bytes, chars27, a tokenizer.json, a SentencePiece "
            ".model, or a folder with vocab.json and merges.txt"
        )
    if not path.exists():
        raise InputError(f"tokenizer {spec} does not exist: check the path")
    if path.suffix == ".json":
        merges = path.parent / path.name.replace("vocab.json", "merges.txt")
        if merges.name != path.name and merges.exists():
            return {VOCAB: _read(path), MERGES: _read(merges)}
    return {JSON if path.suffix == ".json" else MODEL: _read(path)}


def _read_folder(folder) -> dict[str, bytes]:
    found = sorted(folder.iterdir())
    vocab, merges, whole, models = (
        [p for p in found if p.name.endswith(end)] for end in (VOCAB, MERGES, JSON, ".model")
    )
    if len(vocab) == len(merges) == 1:
        return {VOCAB: _read(vocab[0]), MERGES: _read(merges[0])}
    if len(whole) == 1:
        return {JSON: _read(whole[0])}
    if len(models) == 1:
        return {MODEL: _read(models[0])}
    raise InputError(f"{folder} holds no tokenizer: put vocab.json and merges.txt, or a tokenizer.json, there")


def is_regular_file(path) -> bool:
    """Whether it is there and has an end: not so a folder, a device or a pipe."""
    return path.is_file() if is_remote(path) else os.path.isfile(path)


def read_kept_files(folder, names: Iterable[str]) -> dict[str, bytes]:
    """The files that a codec was saved with, as far as they are there. Names that are paths are not looked for."""
    kept = [name for name in names if name in (JSON, VOCAB, MERGES, MODEL)]
    return {name: _read(folder / name) for name in kept if is_regular_file(folder / name)}


def _read(path) -> bytes:
    if path.stat().length > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: that is no tokenizer")
    return path.read_bytes()


def make_tokenizer(spec: str, files: Mapping[str, bytes], normalize: bool) -> Tokenizer:
    """The tokenizer. Raises `InputError` for files that are damaged or of another kind."""
    if spec == "bytes":
        return ByteTokenizer()
    if spec == "chars27":
        return LetterTokenizer(normalize=normalize)
    names = frozenset(files)
    if names == {VOCAB, MERGES}:
        return gpt2_tokenizer(files[VOCAB], files[MERGES], spec, normalize)
    if names == {JSON}:
        return hugging_face_tokenizer(files[JSON], spec, normalize)
    if names == {MODEL}:
        return sentencepiece_tokenizer(files[MODEL], spec, normalize)
    raise InputError(f"tokenizer {spec!r} comes without its files: give the path of the tokenizer")


def kept_name(spec: str, files: Mapping[str, bytes]) -> str:
    """How a tokenizer is called where its path means nothing."""
    return spec if spec in BUILT_IN else "+".join(sorted(files, reverse=True))


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The sha256 of each file, in hexadecimal."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def verify_digests(files: Mapping[str, bytes], expected: Mapping[str, str], where: str) -> None:
    """Raises `InputError` when a file is missing or is not the one that was saved."""
    for name, digest in expected.items():
        if name not in files:
            raise InputError(f"{where}: the tokenizer's {name} is missing: copy the folder again, whole")
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise InputError(f"{where}: {name} is not the file that was saved (its sha256 differs): restore it")
