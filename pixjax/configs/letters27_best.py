"""Text that reads: the best recipe for letters so far, sized for two CPU cores. Every trial on the way: docs/text.md.

    python benchmarks/letters27.py BOOKS
    pixjax train --config=letters27_best --workdir=runs/letters27 --config.data.sources='text:letters27/train.txt.gz'
    pixjax evaluate --workdir=runs/letters27 --out=runs/letters27/evaluation --num-canvases=400 --num-times=16 \\
        --validation='text:letters27/valid.txt.gz' --test='text:letters27/test.txt.gz'

A canvas of 16x16 pixels is 256 letters, a patch a run of eight. The codebook at both ends, layers over single letters
below and above the transformer, cross-entropy, Muon, and a law of t around the log-SNRs where letters are decided.
Cost and result on letters27, two CPU cores: 37 minutes with other work beside most of them (77 canvases a second
without), and three to evaluate; 144,000 canvases, 37 million letters, 3.7 M parameters; a bound of 2.432 ± 0.014 bits
per character on 400 test canvases, between the 3-gram's 2.719 and the 4-gram's 2.210. 62 % of sampled words are valid
(Heun, 100 steps), the longest run copied from the training text has 20 letters. After 500 and 1000 of the 4500 updates
the bound was 2.72 ± 0.03 and 2.57 ± 0.03 on 64 canvases.
"""

from pixjax.config import default_config


def get_config():
    config = default_config()
    config.model.variant = "Ti"
    config.model.depth = 4
    config.model.canvas_size = 16
    config.model.patch_size = "1x8"
    config.model.tagging = "none"
    config.model.in_context_tokens = 0
    config.model.scan_layers = False
    config.model.codebook_head = True
    config.model.codebook_input = True
    config.model.cell_layers = 2
    config.model.cell_width = 96
    config.model.cell_reach = 3
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.marker = False
    config.diffusion.time.text = "logit_normal:0.3:0.8"
    config.diffusion.blocks.text = "1:0.75,whole:0.25"
    config.data.sources = ("demo:text?part=train",)
    config.data.batch_size = 32
    config.evaluation.test = ("demo:text?part=held_out",)
    config.training.steps = 2191
    config.training.optimizer = "muon"
    config.training.muon_matrices = "hidden"
    config.training.learning_rate = 4e-3
    config.training.warmup_steps = 136
    config.training.decay = "cosine"
    config.training.ema_decays = (0.995,)
    config.training.log_every = 50
    config.training.checkpoint_every = 500
    config.training.keep_checkpoints = 1
    config.sampling.steps = 100
    return config
