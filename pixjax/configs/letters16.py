"""Text alone on small canvases, sized for two CPU cores: 256 letters a canvas, a patch a run of four.

    python benchmarks/letters27.py BOOKS
    pixjax train --config=letters16 --workdir=runs/letters --config.data.sources='text:letters27/train.txt.gz'
    pixjax evaluate --workdir=runs/letters --out=runs/letters/evaluation --num-canvases=400 --num-times=16 \\
        --validation='text:letters27/valid.txt.gz' --test='text:letters27/test.txt.gz'

Ti/2 on 16x16 pixels, 8.2 M parameters, a plain pixel head, 40,000 canvases (10 million letters). The law of t puts
training where letters on three levels are decided, at log-SNRs of about -1 to 3.
Cost and result on letters27, two CPU cores: 16 and a half minutes, and three and a half to evaluate; a bound of
3.435 ± 0.013 bits per character on 400 test canvases, between the 1-gram's 4.078 and the 2-gram's 3.322; the network
alone, up to log-SNR 4.
"""

from pixjax.config import default_config


def get_config():
    config = default_config()
    config.model.variant = "Ti"
    config.model.canvas_size = 16
    config.model.patch_size = "2"
    config.model.tagging = "none"
    config.model.in_context_tokens = 0
    config.model.scan_layers = False
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.layout = "patch"
    config.codec.marker = False
    config.diffusion.time.text = "logit_normal:0.3:0.8"
    config.data.sources = ("demo:text?part=train",)
    config.data.batch_size = 16
    config.evaluation.test = ("demo:text?part=held_out",)
    config.training.steps = 2500
    config.training.warmup_steps = 100
    config.training.learning_rate = 1e-3
    config.training.decay = "cosine"
    config.training.ema_decays = (0.99,)
    config.training.log_every = 50
    config.training.checkpoint_every = 500
    config.sampling.steps = 50
    return config
