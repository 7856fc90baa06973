"""The recipe of `letters27_best` at the size that published figures on text8 have, for a GPU or a TPU. Not yet run.

text8 (the first 10^8 letters of a cleaned Wikipedia) is split as the field splits it, 90, 5 and 5 million letters:

    head -c 90000000 text8 > train.txt
    tail -c 10000000 text8 | head -c 5000000 > valid.txt
    tail -c 5000000 text8 > test.txt
    pixjax train --config=text8_best --workdir=runs/text8 --config.data.sources='text:train.txt'
    pixjax evaluate --workdir=runs/text8 --out=runs/text8/evaluation --num-canvases=19531 \\
        --validation='text:valid.txt' --test='text:test.txt'

JiT-B's width and depth without its in-context tokens on canvases of 256 letters, the length of published models, in
patches of four. To stand beside: 1.37 bits per character or less for masked diffusion, 1.41 to 1.48 for continuous
diffusion, 1.23 autoregressive. The state is split over all devices, and with it Muon's work, of which each replica
would do all otherwise: 70 % of the FLOPs of a device on 32 chips (docs/pods.md). What it reaches is not measured;
`pixjax estimate` says what it takes.
"""

from pixjax.configs.letters27_best import get_config as letters27_best


def get_config():
    config = letters27_best()
    config.model.variant = "B"
    config.model.depth = 12
    config.model.patch_size = "1x4"
    config.model.scan_layers = True
    config.model.cell_width = 192
    config.data.batch_size = 512
    config.training.mesh.data = 1
    config.training.mesh.fsdp = -1
    config.training.steps = 200_000
    config.training.learning_rate = 1e-3
    config.training.warmup_steps = 2_000
    config.training.ema_decays = (0.9999,)
    config.training.log_every = 100
    config.training.checkpoint_every = 5_000
    config.training.keep_checkpoints = 3
    config.sampling.steps = 250
    return config
