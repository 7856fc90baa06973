"""The files that make a workdir self-describing: `config.json`, `codec/`, `data.json`, and their checksums."""

import hashlib
import json
import os
from collections.abc import Sequence

from etils import epath

from pixjax.codec import CanvasCodec
from pixjax.codec.tokenizer_files import is_regular_file
from pixjax.config import Config
from pixjax.config_file import config_from_json
from pixjax.data import text_share
from pixjax.errors import InputError, RunError
from pixjax.paths import is_remote, reachable_path, user_path

CONFIG_FILE = "config.json"
CODEC_FOLDER = "codec"
DATA_FILE = "data.json"
CHECKSUMS_FILE = "sha256.json"
_ALWAYS_THERE = (CONFIG_FILE, DATA_FILE, f"{CODEC_FOLDER}/codec.json")


PRETRAINED = "pretrained:"


def workdir_path(given: str | os.PathLike, what: str = "--workdir") -> epath.Path:
    """The folder that holds a run. Raises `InputError` as `user_path` does, and for a name that checkpoints cannot
    lie below, before anything is computed that could not be saved or read again.
    """
    path = user_path(given, what)
    name = str(path)
    if is_remote(path) and not name.startswith(("gs://", "s3://")):
        raise InputError(
            f"{what}={name}: a workdir can be on a disk, on gs:// and on s3://: choose one of these; sources, prepared "
            "shards and tokenizers can be on any of the stores"
        )
    path = reachable_path(path, what)
    if not is_remote(path) and "\\" in name:
        raise InputError(f"{what}={name} has a backslash, which tensorstore takes for a /: choose a path without one")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what}={name!a} is not UTF-8, which tensorstore cannot open: choose a path that is"
        ) from None
    return path


def find_workdir(name: str | os.PathLike, what: str = "--workdir") -> epath.Path:
    """The folder of a `--workdir`; `pretrained:NAME` is one of the models that come with the package.

    Raises `InputError` where the package has none of that name, and as `workdir_path` does.
    """
    if not str(name).startswith(PRETRAINED):
        return workdir_path(name, what)
    folder = epath.resource_path("pixjax") / "pretrained"
    known = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []
    if (wanted := str(name).removeprefix(PRETRAINED)) not in known:
        raise InputError(f"{name} does not come with pixjax: choose one of {', '.join(PRETRAINED + k for k in known)}")
    return user_path(folder / wanted)


def new_workdir(name: str | os.PathLike) -> epath.Path:
    """The folder of a `--workdir` that is written to. Raises `InputError` for a model that comes with the package, and
    as `workdir_path` does.
    """
    if str(name).startswith(PRETRAINED):
        raise InputError(
            f"--workdir={name} comes with pixjax and is not written to: choose another --workdir, and start from its "
            f"weights with --config.training.init_from={name}"
        )
    return workdir_path(name)


def write_run(workdir: epath.Path, config: Config, codec: CanvasCodec, class_names: Sequence[str | None] = ()) -> None:
    """Makes a workdir self-describing: nothing but itself is needed to use what was trained in it.

    class_names: of the labels, by number, as far as they have names.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    codec.save(workdir / CODEC_FOLDER)
    data = {"text_share": text_share(config)} | ({"class_names": list(class_names)} if class_names else {})
    (workdir / DATA_FILE).write_text(json.dumps(data) + "\n")
    (workdir / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    names = [CONFIG_FILE, DATA_FILE] + [f"{CODEC_FOLDER}/{p.name}" for p in (workdir / CODEC_FOLDER).iterdir()]
    checksums = {name: _sha256(workdir / name) for name in sorted(names)}
    (workdir / CHECKSUMS_FILE).write_text(json.dumps(checksums, indent=2) + "\n")


def read_run(workdir: epath.Path) -> tuple[Config, CanvasCodec]:
    """The config and the codec that a workdir was trained with.

    Raises:
      InputError: it is not a workdir.
      RunError: one of the files was damaged or changed since it was written.
    """
    if not (path := workdir / CONFIG_FILE).exists():
        raise InputError(f"{workdir} is not a workdir, it has no {CONFIG_FILE}: give the --workdir of a training run")
    if problems := damaged_files(workdir):
        raise RunError(problems[0])
    return config_from_json(path.read_bytes(), str(path)), CanvasCodec.load(workdir / CODEC_FOLDER)


def require_no_links(workdir: epath.Path) -> None:
    """Raises `InputError` where a file that a run writes is a symbolic link: what it leads to would be overwritten."""
    codec = workdir / CODEC_FOLDER
    for path in (codec, *(p for folder in (workdir, codec) if folder.is_dir() for p in folder.iterdir())):
        # Folders may be elsewhere, such as checkpoints on a larger disk; the codec's files have fixed names.
        if os.path.islink(path) and (path == codec or not path.is_dir()):
            raise InputError(
                f"{path} is a symbolic link, and training would overwrite {os.readlink(path)}: copy the workdir with "
                "its files, as cp -rL does, or choose another --workdir"
            )


def read_text_share(workdir: epath.Path) -> float:
    """The share of text canvases that a run was trained on: 0 is images alone, 1 text alone.

    Raises `RunError` where its file is damaged.
    """
    path = workdir / DATA_FILE
    try:
        return float(json.loads(path.read_bytes())["text_share"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise RunError(f"{path} is missing or damaged: copy the workdir again") from None


def read_class_names(workdir: epath.Path) -> tuple[str | None, ...]:
    """The name of each label of a run, as far as it has one; none for a run that is older, or has no classes."""
    try:
        names = json.loads((workdir / DATA_FILE).read_bytes()).get("class_names", ())
    except (OSError, ValueError, AttributeError, RecursionError):
        return ()
    known = isinstance(names, list) and all(name is None or isinstance(name, str) for name in names)
    return tuple(names) if known else ()


def damaged_files(workdir: epath.Path) -> list[str]:
    """A sentence for each of these files that is not as it was written."""
    remedy = "continue the run with pixjax train, which writes it anew, or copy the workdir again"
    path = workdir / CHECKSUMS_FILE
    try:
        checksums = json.loads(path.read_bytes()) if is_regular_file(path) else None
    except (OSError, ValueError, RecursionError):
        checksums = None
    if not isinstance(checksums, dict):
        return [f"{path} is missing or damaged: {remedy}"]
    problems = [f"{path} does not name {name}: {remedy}" for name in _ALWAYS_THERE if name not in checksums]
    for name, checksum in checksums.items():
        file = workdir / name
        if workdir not in file.parents or ".." in file.parts:
            problems.append(f"{path} names {name}, which is outside of the workdir: {remedy}")
        elif not is_regular_file(file):
            problems.append(f"{file} is missing: {remedy}")
        elif _sha256(file) != checksum:
            problems.append(f"{file} was damaged or changed since it was written: {remedy}")
    return problems


def _sha256(path: epath.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
