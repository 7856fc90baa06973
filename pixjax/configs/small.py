"""The model that comes with the package as `pretrained:small`: letters and six photographs, marker and condition both.

    pixjax train --config=letters27_best --workdir=runs/letters27 --config.data.sources='text:letters27/train.txt.gz'
    pixjax train --config=small --workdir=runs/small --config.training.init_from=runs/letters27 \\
        --config.data.sources='text:letters27/train.txt.gz,demo:images'
    pixjax export --to=workdir --workdir=runs/small --out=pixjax/pretrained/small

32x32 pixels, 1,020 letters a canvas, patches of 2x4 that hold eight letters as those of `letters27_best` do, so that it
can go on from it. What it is good for, and what not: pixjax/pretrained/small/README.md.
"""

from pixjax.configs.letters27_best import get_config as letters27_best


def get_config():
    config = letters27_best()
    config.model.canvas_size = 32
    config.model.patch_size = "2x4"
    config.model.tagging = "both"
    config.model.text_condition = True
    config.codec.layout = "patch"
    config.codec.marker = True
    config.codec.marker_size = 2
    config.diffusion.marker_first = 0.9
    config.diffusion.time.image = "logit_normal:-0.4:1.0"
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    config.data.batch_size = 8
    config.data.text_ratio = 0.625
    config.training.steps = 1500
    config.training.learning_rate = 2e-3
    config.sampling.sampler = "stochastic"
    config.sampling.steps = 50
    config.sampling.batch_size = 8
    return config
