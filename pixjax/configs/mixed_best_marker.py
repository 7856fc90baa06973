"""`mixed_best` with a marker alone: it is decided first, and nothing else tells the model what a canvas is.

    pixjax train --config=mixed_best_marker --workdir=runs/marker \\
        --config.data.sources='text:letters27/train.txt.gz,images:tiny-imagenet/train.zip'

Cost: that of `mixed_best`. Result: not measured at full length.
"""

from pixjax.configs import mixed_best


def get_config():
    config = mixed_best.get_config()
    config.model.tagging = "marker"
    config.codec.marker = True
    config.diffusion.marker_first = 0.9
    return config
