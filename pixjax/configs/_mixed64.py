"""The settings that the three regimes on 64x64 canvases share: not run by itself.

27 letters on the colour cube, one letter a pixel; a patch of 4x4 pixels is a run of sixteen letters. The text recipe of
docs/text.md: most text is learned letter by letter, the rest all at once.
"""

from pixjax.config import default_config


def get_config():
    config = default_config()
    config.model.variant = "S"
    config.model.patch_size = "4"
    config.model.codebook_head = True
    config.model.codebook_input = True
    config.model.cell_layers = 2
    config.model.cell_width = 64
    config.model.cell_reach = 3
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.layout = "patch"
    config.diffusion.time.text = "logit_normal:0.3:0.8"
    config.diffusion.blocks.text = "1:0.75,whole:0.25"
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.data.batch_size = 256
    config.training.optimizer = "muon"
    config.training.muon_matrices = "hidden"
    config.training.learning_rate = 1e-3
    config.training.decay = "cosine"
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    return config
