"""Text and natural images in one model, told apart by a type embedding: images have one, and no condition means text.

    pixjax train --config=mixed64_condition --workdir=runs/condition \
        --config.data.sources='text:books/*.txt,images:photos'

No pixel is reserved: text fills the whole canvas. An explicit type is accepted for both; the one of text is zero
until it is trained, so it says exactly what no condition says. With `--config.model.text_condition=True` text is
trained under its own embedding instead.
Cost and result: not measured at full length; `--config.model.variant=Ti --config.training.steps=300` is a first try
on a CPU.
"""

from pixjax.configs import _mixed64


def get_config():
    config = _mixed64.get_config()
    config.model.tagging = "condition"
    config.codec.marker = False
    return config
