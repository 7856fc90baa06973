"""The sections of the report that show samples: texts, images, tags, trajectories, and an inspector of their cells."""

from typing import Any

import numpy as np

from pixjax.codec import IMAGE, CanvasCodec, Modality, to_uint8
from pixjax.evaluation.held_out import HeldOutData
from pixjax.evaluation.inception import DISTANCES
from pixjax.report import (
    Gallery,
    Inspector,
    Prose,
    ShadedText,
    ShadedTexts,
    Table,
    Trajectory,
)
from pixjax.report.blocks import Block
from pixjax.sampling.generate import Generated
from pixjax.sampling.samples import token_names

SHOWN_TEXTS = 8
INSPECTED = 4  # of each modality
SHOWN_IMAGES = 64
NEIGHBOURS_SHOWN = 8


def text_section(codec: CanvasCodec, samples: dict[str, Generated], metrics: dict[str, Any]) -> tuple[Block, ...]:
    """Quality beside held-out text, and texts shaded by margin; empty without text samples."""
    if "text" not in samples:
        return ()
    quality = metrics.get("text", {}).get("samples", {})
    blocks: list[Block] = []
    if quality:
        rows = []
        for key, value in quality.items():
            if not key.startswith(("held_out/", "js_floor/")):
                beside = quality.get(f"held_out/{key}", quality.get(key.replace("js_divergence", "js_floor")))
                rows.append((key, f"{value:.4g}", "" if beside is None or beside == value else f"{beside:.4g}"))
        blocks.append(Table(("", "samples", "held-out text of equal length"), tuple(rows)))
    made = samples["text"]
    blocks.append(ShadedTexts(tuple(_shaded(codec, made, i) for i in range(min(SHOWN_TEXTS, len(made.x))))))
    return tuple(blocks)


def _shaded(codec: CanvasCodec, made: Generated, index: int) -> ShadedText:
    ids, margin = codec.decode_ids(made.x[index])
    return ShadedText(token_names(codec, ids), margin.tolist(), f"sample {index}, mean margin {margin.mean():.2f}")


def image_section(samples: dict[str, Generated], data: HeldOutData, metrics: dict[str, Any]) -> tuple[Block, ...]:
    """Samples, held-out images, distances and nearest training images; empty without image samples."""
    if "image" not in samples:
        return ()
    made = samples["image"].canvases
    blocks: list[Block] = [Gallery(made[:SHOWN_IMAGES])]
    if IMAGE in data.test:
        blocks += [Prose("Held-out images, for comparison:"), Gallery(data.test[IMAGE].canvases[:16])]
    quality = metrics.get("image", {}).get("samples", {})
    if quality:
        floor, spread = quality["held_out"], quality["held_out_spread"]
        keys = dict.fromkeys(key for key in (*floor, *DISTANCES) if key in quality)
        rows = tuple(
            (key, f"{quality[key]:.4g}", f"{floor[key]:.4g} ± {spread[key]:.2g}" if key in floor else "")
            for key in keys
        )
        counts = quality["counts"]
        caption = (
            f"{counts['samples']:,} samples, and as many held-out images in their place, each against the other "
            f"{counts['reference']:,} held-out images; means of {counts['draws']} draws of these, ± their deviation. "
            "Distances shrink with the number of images, so compare equal numbers only"
        )
        if inception := quality.get("inception_images"):
            caption += (
                f"; {', '.join(DISTANCES)} are by Inception features of {inception['samples']:,} samples and "
                f"{inception['reference']:,} held-out images"
            )
        blocks.append(
            Table(
                ("distance to held-out images", "samples", "as many held-out images"),
                rows,
                caption=caption,
            )
        )
    if "nearest_training_image" in quality and IMAGE in data.training:
        index = quality["nearest_training_image"][:NEIGHBOURS_SHOWN]
        pairs = np.stack([made[: len(index)], data.training[IMAGE].canvases[index]])
        captions = [f"sample {i}" for i in range(len(index))] + [f"{d:.0f} levels" for d in quality["nearest_distance"]]
        blocks += [
            Prose("Samples, and below each the training image that is nearest to it:"),
            Gallery(pairs.reshape(-1, *made.shape[1:]), tuple(captions[: 2 * len(index)]), columns=len(index)),
        ]
    return tuple(blocks)


def tag_section(codec: CanvasCodec, samples: dict[str, Generated], metrics: dict[str, Any]) -> tuple[Block, ...]:
    """Samples whose modality was left open, with what their tags say; empty without such samples."""
    if "any" not in samples:
        return ()
    made = samples["any"]
    captions = tuple(
        f"{Modality(m)}, {margin:.2f}" for m, margin in zip(made.modality, made.modality_margin, strict=True)
    )
    tags = metrics.get("tags", {})
    rows = tuple((name.replace("_", " "), f"{value:.3f}") for name, value in tags.items())
    return (
        Prose("The marker is generated with everything else. Below each canvas: what its marker says, and its margin."),
        Gallery(made.canvases[:SHOWN_IMAGES], captions[:SHOWN_IMAGES]),
        Table(("tags", ""), rows),
    )


def trajectories(samples: dict[str, Generated]) -> tuple[Trajectory, ...]:
    """The clean predictions of each kind of sample, step by step."""
    return tuple(
        Trajectory(
            np.moveaxis(np.asarray(to_uint8(made.frames)), 0, 1),
            tuple(f"t = {time:.2f}" for time in made.frame_times[0]),
            f"{choice}: the clean prediction, step by step",
        )
        for choice, made in samples.items()
    )


def inspector(codec: CanvasCodec, samples: dict[str, Generated]) -> Inspector:
    """A few canvases of each modality, whose cells can be looked at one by one."""
    canvases, captions, tokens, margins = [], [], [], []
    for choice in ("text", "image"):
        if choice not in samples:
            continue
        made = samples[choice]
        for index in range(min(INSPECTED, len(made.x))):
            canvases.append(made.canvases[index])
            captions.append(f"{choice} {index}")
            ids, margin = codec.decode_ids(made.x[index])
            is_text = choice == "text"
            tokens.append(token_names(codec, ids) if is_text else ())
            margins.append(margin.tolist() if is_text else ())
    return Inspector(np.stack(canvases), tuple(captions), codec.cell_index, tuple(tokens), tuple(margins))
