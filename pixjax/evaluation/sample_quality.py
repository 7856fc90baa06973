"""The quality of samples: texts and images beside held-out ones, and whether tags say what canvases are."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import IMAGE, TEXT, Modality
from pixjax.evaluation.held_out import HeldOutData
from pixjax.evaluation.image_metrics import beside_floor, image_metrics, nearest_neighbours
from pixjax.evaluation.inception import Inception, inception_metrics
from pixjax.evaluation.result_cache import ResultCache
from pixjax.evaluation.text_metrics import text_metrics
from pixjax.sampling.generate import Generated


def text_quality(denoiser: Denoiser, samples: dict[str, Generated], data: HeldOutData) -> dict[str, float]:
    """Text metrics beside those of held-out text; the margin alone where there is nothing to compare."""
    texts, margin = sample_texts(denoiser, samples), denoiser.codec.decode_ids(samples["text"].x)[1]
    if not any(texts) or not data.test_text:
        return {"mean_margin": float(np.mean(margin))}
    return text_metrics(texts, data.training_text, halves(data.test_text), margin=margin)


def sample_texts(denoiser: Denoiser, samples: dict[str, Generated]) -> list[str]:
    """What the text samples read as, one string a canvas."""
    codec = denoiser.codec
    return [codec.detokenize(ids) for ids in codec.decode_ids(samples["text"].canvases)[0]]


def halves(text: str) -> tuple[str, str]:
    """The first and the second half of a text."""
    return text[: len(text) // 2], text[len(text) // 2 :]


def image_quality(samples: dict[str, Generated], data: HeldOutData) -> dict[str, Any]:
    """Distances of image samples to held-out images beside their floor, and the nearest training image of each."""
    made = samples["image"].canvases
    metrics = beside_floor(image_metrics, made, data.test[IMAGE].canvases)
    if IMAGE in data.training:
        index, distance = nearest_neighbours(made, data.training[IMAGE].canvases)
        metrics |= {"nearest_training_image": index[:, 0].tolist(), "nearest_distance": distance[:, 0].tolist()}
    return metrics


def inception_quality(
    inception: Inception,
    samples: dict[str, Generated],
    data: HeldOutData,
    references: ResultCache,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Distances by features of Inception, for the draws of `image_quality`; `check` may raise between batches.

    The features of held-out images are kept, for all models that share the references.
    """
    made, real = samples["image"].canvases, data.test[IMAGE].canvases
    kept = references.also(images=hashlib.sha256(real.tobytes()).hexdigest(), shape=real.shape)
    theirs = kept.get_arrays("held_out_inception", lambda: {"features": inception.features(real, check=check)})[
        "features"
    ]
    ours = inception.features(made, check=check)
    found = beside_floor(inception_metrics, ours, theirs)
    return found | {"inception_images": found.pop("counts")}


def tag_accuracy(denoiser: Denoiser, samples: dict[str, Generated], data: HeldOutData) -> dict[str, float]:
    """Whether a canvas is what its tag says, by how near its colours are to legal ones.

    `accuracy` is the share of canvases whose mean decoding margin lies on its modality's side of the middle between
    those of known text and known images; `text_share` the share that came out as text.
    """
    codec = denoiser.codec
    known = {m: float(np.mean(codec.decode_ids(data.validation[m].canvases)[1])) for m in data.validation}
    chosen = [samples["any"]] if "any" in samples else [samples[name] for name in map(str, Modality) if name in samples]
    modality = np.concatenate([made.modality for made in chosen])
    result = {"text_share": float(np.mean(modality == TEXT))}
    if len(known) == 2:
        margin = np.concatenate([codec.decode_ids(made.x)[1].mean(axis=1) for made in chosen])
        looks = np.where(margin > (known[TEXT] + known[IMAGE]) / 2, TEXT, IMAGE)
        result |= {"accuracy": float(np.mean(looks == modality))}
    if codec.marker:
        result |= {"margin": float(np.mean(np.concatenate([made.modality_margin for made in chosen])))}
    return result
