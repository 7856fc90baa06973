"""A trained model as a small workdir: what its use needs, and nothing that training needs."""

import dataclasses

from etils import epath

from pixjax.checkpoints.load import load
from pixjax.checkpoints.published import write_published
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
    write_published(unfinished, denoiser.step, f"ema_{decay}", denoiser.params)
    unfinished.rename(folder)
    return f"step {denoiser.step}, average {decay}"
