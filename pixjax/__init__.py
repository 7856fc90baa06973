"""pixjax: one pixel-space diffusion transformer for text and natural images.

    model = pixjax.load("pretrained:small")
    pixjax.sample(model, "text", 4).texts

The names below are imported when they are first used, so that `import pixjax` costs nothing.
"""

TYPE_CHECKING = False  # that of `typing`, whose import takes longer than all else here
if TYPE_CHECKING:
    from pixjax import codec, data, diffusion, models
    from pixjax.codec import CanvasCodec, Modality
    from pixjax.config import Config
    from pixjax.config_file import load_config
    from pixjax.errors import InputError, RunError
    from pixjax.evaluation.answer import sample
    from pixjax.evaluation.restore import Denoiser, load
    from pixjax.evaluation.run import evaluate
    from pixjax.evaluation.samples import Samples
    from pixjax.training.train import train

__version__ = "0.1.0"
_HOMES = {  # of each name; None: a namespace, a module of its own
    "CanvasCodec": "codec",
    "Config": "config",
    "Denoiser": "evaluation.restore",
    "InputError": "errors",
    "Modality": "codec",
    "RunError": "errors",
    "Samples": "evaluation.samples",
    "codec": None,
    "data": None,
    "diffusion": None,
    "evaluate": "evaluation.run",
    "load": "evaluation.restore",
    "load_config": "config_file",
    "models": None,
    "sample": "evaluation.answer",
    "train": "training.train",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'pixjax' has no attribute {name!r}")
    home = _HOMES[name]
    found = import_module(f"pixjax.{name}") if home is None else getattr(import_module(f"pixjax.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
