"""Text and natural images in one model, told apart by the marker pixel alone: black is text, white is an image.

    pixjax train --config=mixed64_marker --workdir=runs/marker \
        --config.data.sources='text:books/*.txt,images:photos'

The denoiser gets no condition. The marker is decided before the canvas, and says how it is to be decoded.
Cost and result: not measured at full length; `--config.model.variant=Ti --config.training.steps=300` is a first try
on a CPU.
"""

from pixjax.configs import _mixed64


def get_config():
    config = _mixed64.get_config()
    config.model.tagging = "marker"
    config.codec.marker = True
    config.diffusion.marker_first = 0.9
    return config
