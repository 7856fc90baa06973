"""What the three regimes on 64x64 canvases share: not run by itself.

27 letters on the colour cube, one letter a pixel; a patch of 4x4 pixels is a run of sixteen letters.
"""

from pixjax.config import default_config


def get_config():
    config = default_config()
    config.model.variant = "S"
    config.model.patch_size = "4"
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.layout = "patch"
    config.diffusion.time.text = "logit_normal:0.0:1.0"
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.data.batch_size = 256
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    return config
