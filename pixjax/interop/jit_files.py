"""The files that PyTorch JiT weights come in, `.safetensors` and `.pth`: read and written, never unpickling code."""

import argparse
import dataclasses
import json
import pathlib
import re
import zipfile
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any

import numpy as np

from pixjax.errors import InputError
from pixjax.interop.jit_names import StateDict

MODEL = "model"  # the raw parameters; the averages are model_ema1, model_ema2, …
_WRAPPER = "net."  # JiT's training code keeps the network inside a module of this name
_SET = re.compile(r"(model(?:_ema\d+)?)\.(.+)")
_PICKLED = (".pth", ".pt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class JiTFile:
    """What a file holds.

    `sets` are the parameters and their averages by name (`model`, `model_ema1`, …), each a state dict without the
    wrapper's prefix. `args` are the training options beside them, as JiT names them; empty where there are none.
    """

    sets: Mapping[str, StateDict]
    args: Mapping[str, Any]


def read_jit_file(path: pathlib.Path) -> JiTFile:
    """Raises `InputError`: no such file, another format, damaged, or a pickle that wants to run code."""
    if not path.is_file():
        raise InputError(f"{path} is not a file: give a JiT checkpoint, .pth or .safetensors")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _PICKLED:
        return _read_pickled(path)
    raise InputError(f"{path} is neither .pth nor .safetensors: give a JiT checkpoint in one of these formats")


def require_writable(path: pathlib.Path) -> None:
    """Raises `InputError` for another suffix, a file that is there already, or a library that is not installed."""
    if path.suffix not in (".safetensors", *_PICKLED):
        raise InputError(f"--out={path} is neither .pth nor .safetensors: choose one of these formats")
    if path.exists():
        raise InputError(f"--out={path} exists: remove it, or choose another name")
    if path.suffix in _PICKLED:
        _import_torch()


def write_jit_file(path: pathlib.Path, contents: JiTFile) -> None:
    """Writes all of it or nothing. Raises as `require_writable` does."""
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        (_write_safetensors if path.suffix == ".safetensors" else _write_pickled)(partial, contents)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _import_torch():
    try:
        import torch
    except ImportError:
        raise InputError("a .pth file needs PyTorch: pip install 'pixjax[torch]', or use .safetensors") from None
    return torch


def _read_safetensors(path: pathlib.Path) -> JiTFile:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            args = json.loads((file.metadata() or {}).get("args", "{}"))
    # AttributeError: a type that NumPy lacks, such as one of 8 bits.
    except (safetensors.SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} does not read as safetensors ({_one_line(error)}): get it again") from error
    sets: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        match = _SET.fullmatch(name)
        group, name = (match[1], match[2]) if match else (MODEL, name)
        sets.setdefault(group, {})[name.removeprefix(_WRAPPER)] = tensor
    return JiTFile(sets=sets, args=args if isinstance(args, dict) else {})


def _write_safetensors(path: pathlib.Path, contents: JiTFile) -> None:
    from safetensors.numpy import save_file

    tensors = {
        f"{group}.{_WRAPPER}{name}": tensor
        for group, state_dict in contents.sets.items()
        for name, tensor in state_dict.items()
    }
    metadata = {"format": "pt", "args": json.dumps(dict(contents.args))}
    save_file(tensors, path, metadata=metadata)


def _read_pickled(path: pathlib.Path) -> JiTFile:
    torch = _import_torch()
    try:
        # JiT's training code stores its options as a Namespace, a record of plain values: the one class let in.
        with torch.serialization.safe_globals([argparse.Namespace]):
            # Optimizer states beside the parameters stay on the disk.
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f"code of its own ({wanted[1]})" if wanted else "more than tensors and plain values"
        raise InputError(
            f"{path} needs {what} to be unpickled and is refused: save its state dicts alone, or as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} does not read as a PyTorch checkpoint ({_one_line(error)}): get it again") from error
    if not isinstance(stored, Mapping):
        raise InputError(f"{path} holds a {type(stored).__name__}, not a dict of tensors: give a JiT checkpoint")
    sets = {name: value for name, value in stored.items() if _is_set(name) and isinstance(value, Mapping)}
    sets = sets or {MODEL: stored}
    args = stored.get("args", {})
    return JiTFile(
        sets={name: _arrays(torch, tensors, f"{path} ({name})") for name, tensors in sets.items()},
        args=dict(vars(args) if isinstance(args, argparse.Namespace) else args if isinstance(args, Mapping) else {}),
    )


def _is_set(name: Any) -> bool:
    return isinstance(name, str) and _SET.fullmatch(f"{name}.x") is not None


def _arrays(torch, tensors: Mapping[Any, Any], origin: str) -> dict[str, np.ndarray]:
    """Shares the memory of the tensors, which may be a file's."""
    import ml_dtypes

    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise InputError(f"{origin} has {name!r}, a {type(tensor).__name__}, where tensors belong: give JiT's own")
        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:  # NumPy has no such type of its own
            array = tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        else:
            array = tensor.numpy()
        arrays[name.removeprefix(_WRAPPER)] = array
    return arrays


def _write_pickled(path: pathlib.Path, contents: JiTFile) -> None:
    torch = _import_torch()
    stored = {
        group: {f"{_WRAPPER}{name}": torch.from_numpy(tensor) for name, tensor in state_dict.items()}
        for group, state_dict in contents.sets.items()
    }
    torch.save(stored | {"args": dict(contents.args)}, path)


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= 120 else f"{line[:117]}..."
