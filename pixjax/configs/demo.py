"""A first look, sized for two CPU cores: Python's documentation and six photographs in one small model.

    pixjax train --config=demo --workdir=runs/demo

It is the text recipe of docs/text.md on canvases of 32x32 pixels: the 27 letters as corners, edges and faces of the
colour cube, a text head and its input, a layer over single letters below and above the transformer, Muon. A type
embedding tells the model what a canvas is, and a marker in its corner tells everybody else. Most text is learned letter
by letter. Nothing is downloaded. Two quiet CPU cores: 23 canvases a second after a minute of compiling, 3.4 M
parameters; `make demo` took 3 min 36 s with the packages installed and other work beside it. Its bare
evaluation has 2.534 ± 0.044 bits per character of held-out documentation, letter by letter, and 6.693 ± 0.047 bits per
dimension. All at once and with 500 updates, on 0.6 MB of plays and 300 photographs in place of the bundled data, it had
3.053 ± 0.018 bits per character of other plays (their 2-gram 3.34, 3-gram 2.88) and 33 % valid words.
"""

from pixjax.config import default_config


def get_config():
    config = default_config()
    config.model.variant = "Ti"
    config.model.depth = 4
    config.model.canvas_size = 32
    config.model.patch_size = "4"
    config.model.tagging = "both"
    config.model.text_condition = True
    config.model.in_context_tokens = 0
    config.model.scan_layers = False
    config.model.codebook_head = True
    config.model.codebook_input = True
    config.model.cell_layers = 1
    config.model.cell_width = 64
    config.model.cell_reach = 3
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.layout = "patch"
    config.codec.marker_size = 4
    config.diffusion.marker_first = 0.9
    config.diffusion.blocks.text = "1:0.75,whole:0.25"
    config.diffusion.time.image = "logit_normal:-0.4:1.0"
    config.diffusion.time.text = "adaptive:-6:10"
    config.data.batch_size = 16
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    config.training.steps = 180
    config.training.optimizer = "muon"
    config.training.muon_matrices = "hidden"
    config.training.warmup_steps = 25
    config.training.learning_rate = 4e-3
    config.training.decay = "cosine"
    config.training.ema_decays = (0.99, 0.95)
    config.training.log_every = 20
    config.training.checkpoint_every = 100
    config.sampling.steps = 25
    return config
