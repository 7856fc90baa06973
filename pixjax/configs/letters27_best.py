"""Text that reads: the best recipe for letters so far, sized for two CPU cores. Every trial on the way: docs/text.md.

    python benchmarks/letters27.py BOOKS
    pixjax train --config=letters27_best --workdir=runs/letters27 --config.data.sources='text:letters27/train.txt.gz'
    pixjax evaluate --workdir=runs/letters27 --out=runs/letters27/evaluation --num-canvases=400 --num-times=16 \\
        --validation='text:letters27/valid.txt.gz' --test='text:letters27/test.txt.gz'

A canvas of 16x16 pixels is 256 letters, a patch a run of eight. The text head and its input, layers over single letters
below and above the transformer, cross-entropy, Muon for all hidden matrices, and reading order: seven canvases of eight
are decided letter by letter, the rest all at once, with a law of t around the log-SNRs where that happens.
Cost and result on letters27, two CPU cores: 75 minutes with other work beside (32 minutes of both cores), and three to
evaluate; 122,000 canvases, 31 million letters, 188 TFLOP, 3.7 M parameters; 1.773 ± 0.012 bits per character on 400
test canvases letter by letter, below the 5-gram's 1.905, and a bound of 2.912 ± 0.010 all at once. 94 % of sampled
words are valid, the longest run copied from the training text has 28 letters.
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
    config.diffusion.blocks.text = "1:0.875,whole:0.125"
    config.data.sources = ("demo:text?part=train",)
    config.data.batch_size = 32
    config.evaluation.test = ("demo:text?part=held_out",)
    config.training.steps = 3804
    config.training.optimizer = "muon"
    config.training.muon_matrices = "hidden"
    config.training.learning_rate = 4e-3
    config.training.warmup_steps = 236
    config.training.decay = "cosine"
    config.training.ema_decays = (0.995,)
    config.training.log_every = 50
    config.training.checkpoint_every = 500
    config.training.keep_checkpoints = 1
    config.sampling.steps = 100
    return config
