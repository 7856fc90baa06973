"""Does mixing hurt a model that spells? Text alone, images alone, and both under a type embedding, by the text recipe.

    pixjax study --config=study_best --workdir=runs/mixing_best \\
        --config.data.sources='text:letters27/train.txt.gz,images:tiny-imagenet/train.zip' \\
        --config.evaluation.validation='text:letters27/valid.txt.gz' \\
        --config.evaluation.test='text:letters27/test.txt.gz,images:tiny-imagenet/val.zip'

The recipe of `letters27_best` as it was before text was decided in reading order, all at once, on 16x16 canvases in
patches of 2x4, which serve both modalities, at matched samples and at as many updates (one of the image arm, which has
no layers over cells, costs 0.3 of the others'); sized for two CPU cores. Cost, and the result of its first two seeds:
docs/mixing.md.
"""

from pixjax.configs.letters27_best import get_config as letters27_best
from pixjax.configs.study_mixing import CONDITION, FINETUNED, IMAGE, PRETRAINED, TEXT, UNTAGGED

NO_CODEBOOK = {"model.codebook_head": False, "model.codebook_input": False, "model.cell_layers": 0}


def get_base():
    config = letters27_best()
    config.diffusion.blocks.text = "whole"
    config.training.muon_matrices = "blocks"
    config.training.warmup_steps = 100
    config.model.patch_size = "2x4"
    config.codec.layout = "patch"
    config.diffusion.time.image = "logit_normal:0.5:1.5"
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    config.data.batch_size = 16
    config.training.steps = 500
    config.training.checkpoint_every = 500
    config.evaluation.canvases = 256
    config.evaluation.samples = 32
    config.evaluation.num_times = 16
    config.evaluation.reference_characters = 2**22
    config.sampling.steps = 50
    config.sampling.batch_size = 32
    return config


def get_study():
    return {
        "title": "Does mixing text and images hurt a model that spells?",
        "base": get_base(),
        "seeds": (0, 1, 2),
        "arms": {
            "text": {"changes": UNTAGGED | TEXT, "about": "text alone"},
            "image": {"changes": UNTAGGED | IMAGE | NO_CODEBOOK, "about": "images alone"},
            "condition_samples": {"changes": CONDITION, "length": 2.0, "about": "a type embedding; matched samples"},
            "condition_compute": {"changes": CONDITION, "about": "a type embedding tells; as many updates"},
            "pretrained": PRETRAINED,
            "finetuned_samples": FINETUNED,
        },
        "comparisons": [
            {"name": f"{regime}, matched {match}", "reference": alone, "arm": f"{regime}_{match}"}
            for regime, match in (("condition", "samples"), ("condition", "compute"), ("finetuned", "samples"))
            for alone in ("text", "image")
        ],
    }
