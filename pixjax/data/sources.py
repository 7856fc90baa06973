"""From a URI to its source, and what a config's sources amount to together."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.config import Config, DataConfig
from pixjax.data.mixture import Mixture
from pixjax.data.source import Source
from pixjax.data.source_spec import Reader, spec_of
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


def open_source(
    uri: str,
    *,
    canvas_size: int,
    codec: CanvasCodec | None = None,
    context_canvases: int = 0,
    max_bad_fraction: float = DataConfig.max_bad_fraction,
) -> Source:
    """The source that `uri` names: a sequence of pictures, or of windows of text (these need the codec), or, for a
    model that takes context, of prompts and answers, to which pictures with captions belong then.

    Raises `InputError` where there is nothing to read, a file is not what the scheme promises, or more than
    `max_bad_fraction` of the rows of a source of texts cannot be used.
    """
    reader = Reader(
        canvas_size=canvas_size, codec=codec, context_canvases=context_canvases, max_bad_fraction=max_bad_fraction
    )
    return spec_of(SourceUri.parse(uri)).open(reader)


def modality_of(uri: SourceUri) -> Modality:
    """TEXT or IMAGE, by the scheme, by what was prepared, or by which side of a pair is answered."""
    return spec_of(uri).modality()


def source_weights(config: Config) -> Mapping[str, float]:
    """The share of each source that is drawn from, by URI; those with no share are left out and never opened.

    Without `data.weights`, text sources share `data.text_ratio` equally and image sources the rest; where all
    sources are of one modality they have everything.
    """
    data = config.data
    if duplicates := {uri for uri in data.sources if data.sources.count(uri) > 1}:
        raise InputError(f"data.sources names {min(duplicates)} twice: use data.weights to draw from it more often")
    if data.weights:
        total = sum(data.weights)
        return {uri: weight / total for uri, weight in zip(data.sources, data.weights, strict=True)}
    by_modality: dict[int, list[str]] = {TEXT: [], IMAGE: []}
    for uri in data.sources:
        by_modality[modality_of(SourceUri.parse(uri))].append(uri)
    ratio = {TEXT: data.text_ratio, IMAGE: 1 - data.text_ratio}
    for modality, other, name in ((TEXT, IMAGE, "text"), (IMAGE, TEXT, "image")):
        if not by_modality[modality]:
            if ratio[modality] == 1:
                raise InputError(
                    f"data.text_ratio={data.text_ratio:g} asks for {name} alone, and data.sources has none: "
                    f"add one, or change data.text_ratio"
                )
            ratio = {modality: 0.0, other: 1.0}
    return {
        uri: ratio[modality] / len(by_modality[modality])
        for uri in data.sources
        if ratio[modality := modality_of(SourceUri.parse(uri))] > 0
    }


def text_share(config: Config) -> float:
    """The share of text among the canvases that a config draws: exactly 0 or 1 where one modality has everything."""
    shares = {TEXT: 0.0, IMAGE: 0.0}
    for uri, weight in source_weights(config).items():
        shares[modality_of(SourceUri.parse(uri))] += weight
    return shares[TEXT] / (shares[TEXT] + shares[IMAGE])


def modality_schedule(config: Config) -> Int64[np.ndarray, " block"]:
    """TEXT or IMAGE of each canvas of the stream, which repeats after a block."""
    weights = source_weights(config)
    modalities = np.array([modality_of(SourceUri.parse(uri)) for uri in weights])
    return modalities[Mixture.from_weights(tuple(weights.values())).schedule]
