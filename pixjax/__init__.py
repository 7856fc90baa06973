"""pixjax: one pixel-space diffusion transformer for text and natural images.

    model = pixjax.load("pretrained:small")
    samples = pixjax.sample(model, "text", 4)
    samples.texts

The names below are imported when they are first used, so that `import pixjax` costs nothing.
"""

from pixjax.version import __version__ as __version__

TYPE_CHECKING = False  # as in `typing`, whose import would take longer than all else here
if TYPE_CHECKING:
    from pixjax import codec, data, diffusion, models
    from pixjax.checkpoints.load import Denoiser, load
    from pixjax.codec import CanvasCodec, Modality
    from pixjax.config import Config
    from pixjax.config_file import load_config
    from pixjax.errors import InputError, RunError
    from pixjax.report.run import evaluate
    from pixjax.sampling.sample import sample
    from pixjax.sampling.samples import Samples
    from pixjax.training.train import train

__all__ = [
    "CanvasCodec",
    "Config",
    "Denoiser",
    "InputError",
    "Modality",
    "RunError",
    "Samples",
    "codec",
    "data",
    "diffusion",
    "evaluate",
    "load",
    "load_config",
    "models",
    "sample",
    "train",
]
_HOMES = {
    "CanvasCodec": "pixjax.codec",
    "Config": "pixjax.config",
    "Denoiser": "pixjax.checkpoints.load",
    "InputError": "pixjax.errors",
    "Modality": "pixjax.codec",
    "RunError": "pixjax.errors",
    "Samples": "pixjax.sampling.samples",
    "evaluate": "pixjax.report.run",
    "load": "pixjax.checkpoints.load",
    "load_config": "pixjax.config_file",
    "sample": "pixjax.sampling.sample",
    "train": "pixjax.training.train",
}


def __getattr__(name: str):
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"pixjax.{name}")
    raise AttributeError(f"module 'pixjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
