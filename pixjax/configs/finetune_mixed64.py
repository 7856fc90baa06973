"""Mixed finetuning of a text-only model: images join, with a type embedding of their own.

    pixjax train --config=finetune_mixed64 --workdir=runs/finetuned --config.training.init_from=runs/text \
        --config.data.sources='text:books/*.txt,images:photos'

At its first step the model says of text exactly what the pretrained one said: the new embedding is zero, and text
goes without it.
Cost and result: not measured at full length; `--config.model.variant=Ti --config.training.steps=300` is a first try
on a CPU.
"""

from pixjax.configs import mixed64_condition


def get_config():
    config = mixed64_condition.get_config()
    config.training.init_from = "runs/text"
    config.training.learning_rate = 1e-4
    return config
