"""Text that reads and photographs in one model: the mixed arm of `study_best` at matched samples, as a run of its own.

    pixjax train --config=mixed_best --workdir=runs/mixed \\
        --config.data.sources='text:letters27/train.txt.gz,images:tiny-imagenet/train.zip'
    pixjax evaluate --workdir=runs/mixed --out=runs/mixed/evaluation --validation='text:letters27/valid.txt.gz' \\
        --test='text:letters27/test.txt.gz,images:tiny-imagenet/val.zip'

A type embedding tells; half of the 16,000 canvases are text (2 million letters), most of it learned letter by letter.
Result with `--config.diffusion.blocks.text=whole --config.training.muon_matrices=blocks`, two CPU cores, seeds 0 and 1:
2.875 and 2.898 bits per character on 256 test canvases, 5.885 and 5.909 bits per dimension, 43 and 42 % valid words;
as it stands it was not run at full length. What mixing costs against text or images alone: docs/mixing.md.
"""

from pixjax.configs.study_best import get_base


def get_config():
    config = get_base()
    config.diffusion.blocks.text = "1:0.75,whole:0.25"
    config.training.muon_matrices = "hidden"
    config.model.tagging = "condition"
    config.training.steps = 1000
    return config
