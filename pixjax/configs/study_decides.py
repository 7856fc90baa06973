"""Does mixing text and images in one model hurt? A study that decides: matched data, four computations, three widths.

    pixjax study --config=study_decides --workdir=runs/decides \\
        --config.data.sources='text:letters27/train.txt.gz,images:tiny-imagenet/train.zip' \\
        --config.evaluation.validation='text:letters27/valid.txt.gz' \\
        --config.evaluation.test='text:letters27/test.txt.gz,images:tiny-imagenet/val.zip'

An update of `text` has 16 canvases of text, one of `images` 16 images, one of `both` the same 16 and the same 16: as
many updates, one schedule, and each modality sees the same canvases in the same order, so that only the sharing
differs. The recipe is that of `mixed_best`, less its clipping: a norm is the one thing that sees whether losses are
summed or averaged, and it would let the images shorten the step of the text. Computation is counted for the text arm,
and the others take its updates. What was run of it, and how it is read: docs/mixing.md.
"""

from pixjax.configs.mixed_best import get_config as mixed_best
from pixjax.configs.study_mixing import CONDITION, IMAGE, MARKER, TEXT, UNTAGGED

BATCH = 16  # canvases of each modality in an update
BOTH = {"data.batch_size": 2 * BATCH}
IMAGES_ALONE = IMAGE | {
    "diffusion.blocks.text": "whole",
    "model.codebook_head": False,
    "model.codebook_input": False,
    "model.cell_layers": 0,
}
MARKER_FIRST = MARKER | {"diffusion.marker_first": 0.9}
FASTER = 1.4

DECISIVE = 12.0  # TFLOP of the text arm
OTHERS = (6.0, 24.0, 48.0)
WIDTHS = {96: 3, 384: 6}  # beside 192, with their heads
COSINES = ("", *(f"_w{width}" for width in WIDTHS))  # suffixes of the arms whose gradients are compared, one a width
TEXT_SEEDS, SEEDS, FEW_SEEDS = range(5), range(7), range(3)


def get_base():
    config = mixed_best()
    config.model.tagging = "none"
    config.data.batch_size = BATCH
    config.training.clip_norm = 0.0
    config.evaluation.canvases = 512
    config.evaluation.samples = 64
    config.evaluation.denoising = False  # no figure of the study is one of these curves
    config.sampling.batch_size = 64
    return config


def arms_of(suffix, teraflops, stage, changes, text_seeds, seeds):
    """Text alone, images alone, and both under a type condition, at one computation and width."""
    shared = {"stage": stage, "seeds": tuple(seeds)}
    text, both = f"text{suffix}", f"both{suffix}"
    return {
        text: shared | {"changes": UNTAGGED | TEXT | changes, "teraflops": teraflops, "seeds": tuple(text_seeds)},
        f"images{suffix}": shared | {"changes": UNTAGGED | IMAGES_ALONE | changes, "updates_of": text},
        both: shared | {"changes": CONDITION | BOTH | changes, "updates_of": text, "cosine": suffix in COSINES},
    }


def get_arms():
    arms = arms_of("", DECISIVE, 0, {}, TEXT_SEEDS, SEEDS)
    arms["text"]["about"] = "text alone, three canvases of four learned letter by letter"
    arms["images"]["about"] = "images alone, without the layers for text"
    arms["both"]["about"] = "both in one update, a type embedding tells"
    for teraflops in OTHERS:
        arms |= arms_of(f"_{teraflops:g}T", teraflops, 1, {}, FEW_SEEDS, FEW_SEEDS)
    own = {"seeds": tuple(SEEDS), "stage": 2}
    faster = {"training.learning_rate": FASTER * get_base().training.learning_rate}
    like_text = own | {"updates_of": "text"}
    arms |= {
        "text_marked": like_text
        | {"changes": MARKER_FIRST | TEXT, "seeds": tuple(TEXT_SEEDS), "about": "text alone with a marker pixel"},
        "images_marked": like_text
        | {"changes": MARKER_FIRST | IMAGES_ALONE, "about": "images alone with a marker pixel"},
        "both_marked": like_text
        | {"changes": MARKER_FIRST | BOTH, "about": "both, a marker pixel that is decided first tells"},
        "shuffled": like_text
        | {
            "changes": CONDITION | BOTH | {"data.shuffle_pixels": True},
            "seeds": tuple(TEXT_SEEDS),
            "about": "text, and images whose pixels are shuffled by one permutation: what interferes has no structure",
        },
        "both_compute": own
        | {
            "changes": CONDITION | BOTH,
            "teraflops": DECISIVE,
            "seeds": tuple(TEXT_SEEDS),
            "about": "both, with as much computation as text alone, and so fewer updates",
        },
        "both_faster": like_text
        | {
            "changes": CONDITION | BOTH | faster,
            "seeds": tuple(TEXT_SEEDS),
            "about": f"both, {FASTER} times the learning rate",
        },
        "text_faster": like_text
        | {
            "changes": UNTAGGED | TEXT | faster,
            "seeds": tuple(TEXT_SEEDS),
            "about": f"text alone, {FASTER} times the learning rate",
        },
        "images_faster": like_text
        | {
            "changes": UNTAGGED | IMAGES_ALONE | faster,
            "seeds": tuple(TEXT_SEEDS),
            "about": f"images alone, {FASTER} times the learning rate",
        },
        "text_half": like_text | {"changes": UNTAGGED | TEXT, "length": 0.5, "about": "text alone, half as long"},
        "both_after_text": like_text
        | {
            "changes": CONDITION | {"data.batch_size": 3 * BATCH // 2, "data.text_ratio": 1 / 3},
            "start_from": "text_half",
            "about": "from there with both, half as much text an update: as much of each in all; the text begins anew",
        },
    }
    for width, heads in WIDTHS.items():
        # The layers over cells and the bottleneck keep their part of the width.
        parts = {"model.cell_width": width // 2, "model.bottleneck": width // 3}
        changes = {"model.width": width, "model.heads": heads} | parts
        arms |= arms_of(f"_w{width}", DECISIVE, 3, changes, FEW_SEEDS, FEW_SEEDS)
    return arms


def get_comparisons():
    def against(name, arm, alone=("text", "images"), curve=False):
        modalities = [one.partition("_")[0] for one in alone]
        return [
            {"name": f"{modality}, {name}", "reference": one, "arm": arm} | ({"curve": modality} if curve else {})
            for modality, one in zip(modalities, alone, strict=True)
        ]

    comparisons = against("12 TFLOP", "both", curve=True)
    for teraflops in OTHERS:
        suffix = f"_{teraflops:g}T"
        name, alone = f"{teraflops:g} TFLOP", (f"text{suffix}", f"images{suffix}")
        comparisons += against(name, f"both{suffix}", alone, curve=True)
    comparisons += against("marker first", "both_marked", ("text_marked", "images_marked"))
    comparisons += against("text first, then both", "both_after_text")
    comparisons += against("matched compute", "both_compute", ("text",))
    comparisons += against("with shuffled images", "shuffled", ("text",))
    comparisons += against(f"{FASTER} times the learning rate for both", "both_faster")
    comparisons += against(f"{FASTER} times the rate for all", "both_faster", ("text_faster", "images_faster"))
    for width in WIDTHS:
        comparisons += against(f"width {width}", f"both_w{width}", (f"text_w{width}", f"images_w{width}"))
    return comparisons


def get_study():
    return {
        "title": "Does mixing text and images in one model hurt?",
        "base": get_base(),
        "seeds": tuple(SEEDS),
        "margin": 0.005,
        "arms": get_arms(),
        "comparisons": get_comparisons(),
    }
