"""A trained model as a small workdir: what its use needs, and nothing that training needs."""

import dataclasses

from etils import epath

from pixjax.checkpoints.checkpoint import Checkpoints
from pixjax.checkpoints.load import load
from pixjax.checkpoints.run_files import write_run
from pixjax.errors import InputError


def publish(workdir: str, folder: epath.Path, *, ema: str = "", step: int | None = None) -> str:
    """Writes one average of a checkpoint as a workdir that `pixjax.load` and every command but `train` take.

    Args: as `load` takes them; the raw parameters cannot be published.

    Returns:
      What was written.

    Raises:
      InputError: as `load`, or the folder exists, or FOLDER.unfinished, in which it is written.
    """
    if folder.exists():
        raise InputError(f"--out={folder} exists: choose a new folder")
    if ema == "none":
        raise InputError(
            "--ema=none are the raw parameters, and a shared model is an average: name one, or leave it out"
        )
    denoiser = load(workdir, ema=ema, step=step)
    decay = float(ema) if ema else denoiser.config.training.ema_decays[0]
    training = dataclasses.replace(denoiser.config.training, ema_decays=(decay,), init_from="")
    config = dataclasses.replace(denoiser.config, training=training)
    unfinished = folder.parent / f"{folder.name}.unfinished"
    if unfinished.exists():
        raise InputError(f"{unfinished} exists, left by an export that did not end or is going on: remove it first")
    write_run(unfinished, config, denoiser.codec, denoiser.class_names)
    with Checkpoints(unfinished, keep=training) as checkpoints:
        checkpoints.save_average(denoiser.step, f"ema_{decay}", denoiser.params, config, denoiser.codec)
    _forget_where(unfinished)
    unfinished.rename(folder)
    return f"step {denoiser.step}, average {decay}"


def _forget_where(folder: epath.Path) -> None:
    """Orbax marks what is whole by a file that names the machine's path; that it is there is all that counts."""
    for path in folder.iterdir():
        if path.is_dir():
            _forget_where(path)
        elif path.name == "commit_success.txt":
            path.write_text("whole\n")
