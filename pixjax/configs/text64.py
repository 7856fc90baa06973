"""Text alone: the pretraining that `finetune_mixed64` starts from.

    pixjax train --config=text64 --workdir=runs/text --config.data.sources='text:books/*.txt'

The canvas and the architecture are those of `mixed64_condition`, less its type embedding.
Cost and result: not measured at full length; `--config.model.variant=Ti --config.training.steps=300` is a first try
on a CPU.
"""

from pixjax.configs import _mixed64


def get_config():
    config = _mixed64.get_config()
    config.model.tagging = "none"
    config.codec.marker = False
    config.data.sources = ("demo:text?part=train",)
    config.evaluation.test = ("demo:text?part=held_out",)
    return config
