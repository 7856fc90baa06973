"""Does mixing hurt, and which tag works best? Text alone, images alone, and three ways to have both in one model.

    pixjax study --config=study_mixing --workdir=runs/mixing

Each way of mixing is trained twice: until it has seen as many canvases of each modality as the models of one modality
(matched samples, twice the compute), and for as many steps (matched compute, half the canvases of each). Pretraining
counts: a finetuned model has seen text in both of its runs.

Canvases of 16x16 pixels, the 27 letters on the colour cube, 4x4 patches; sized for two CPU cores. Real data:

    pixjax study --config=study_mixing --workdir=runs/mixing \\
        --config.data.sources='text:letters27/train.txt.gz,images:tiny-imagenet/train.zip' \\
        --config.evaluation.validation='text:letters27/valid.txt.gz' \\
        --config.evaluation.test='text:letters27/test.txt.gz,images:tiny-imagenet/val.zip'

Cost and result: docs/mixing.md.
"""

from pixjax.config import default_config

TEXT, IMAGE = {"data.text_ratio": 1.0}, {"data.text_ratio": 0.0}
UNTAGGED = {"model.tagging": "none", "codec.marker": False}
MARKER = {"model.tagging": "marker", "codec.marker": True}
CONDITION = {"model.tagging": "condition", "codec.marker": False}

# Arms of both studies of mixing.
PRETRAINED = {"changes": UNTAGGED | TEXT, "length": 0.5, "about": "text alone, half as long"}
FINETUNED = {
    "changes": CONDITION | {"data.text_ratio": 1 / 3},
    "length": 1.5,
    "start_from": "pretrained",
    "about": "the pretrained model goes on with both, a third of it text; matched samples",
}


def get_base():
    config = default_config()
    config.model.variant = "Ti"
    config.model.depth = 4
    config.model.canvas_size = 16
    config.model.patch_size = "4"
    config.model.in_context_tokens = 4
    config.model.scan_layers = False
    config.codec.tokenizer = "chars27"
    config.codec.normalize = True
    config.codec.code = "radix:3:1"
    config.codec.layout = "patch"
    config.diffusion.time.text = "logit_normal:0.0:0.8"  # where letters on three levels are decided
    config.diffusion.time.image = "logit_normal:0.5:1.5"  # bits per dimension are spread far towards the data
    config.data.sources = ("demo:text?part=train", "demo:images")
    config.data.batch_size = 32
    config.training.steps = 800
    config.training.warmup_steps = 50
    config.training.learning_rate = 1.5e-3
    config.training.decay = "cosine"
    config.training.ema_decays = (0.99,)
    config.training.log_every = 20
    config.training.checkpoint_every = 400
    config.training.keep_checkpoints = 1
    config.evaluation.test = ("demo:text?part=held_out", "demo:images?part=held_out")
    config.evaluation.canvases = 256
    config.evaluation.samples = 64
    config.evaluation.num_times = 16
    config.evaluation.reference_characters = 2**22
    config.sampling.steps = 25
    config.sampling.batch_size = 64
    return config


def get_study():
    return {
        "title": "Does mixing text and images in one model hurt?",
        "base": get_base(),
        "seeds": (0, 1, 2),
        "arms": {
            "text": {"changes": UNTAGGED | TEXT, "about": "text alone"},
            "image": {"changes": UNTAGGED | IMAGE, "about": "images alone"},
            "marker_samples": {"changes": MARKER, "length": 2.0, "about": "a marker pixel tells; matched samples"},
            "marker_compute": {"changes": MARKER, "about": "a marker pixel tells; matched compute"},
            "condition_samples": {"changes": CONDITION, "length": 2.0, "about": "a type embedding; matched samples"},
            "condition_compute": {"changes": CONDITION, "about": "a type embedding tells; matched compute"},
            "pretrained": PRETRAINED,
            "finetuned_samples": FINETUNED,
            "finetuned_compute": {
                "changes": CONDITION,
                "length": 0.5,
                "start_from": "pretrained",
                "about": "the pretrained model goes on with both; matched compute",
            },
        },
        "comparisons": [
            {"name": f"{way}, matched {match}", "reference": alone, "arm": f"{way}_{match}"}
            for way in ("marker", "condition", "finetuned")
            for match in ("samples", "compute")
            for alone in ("text", "image")
        ]
        + [
            {"name": f"condition against marker, matched {m}", "reference": f"marker_{m}", "arm": f"condition_{m}"}
            for m in ("samples", "compute")
        ],
    }
