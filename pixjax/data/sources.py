"""From a URI to its source, and what a config's sources amount to together."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import bytes_instead
from pixjax.config import Config, DataConfig
from pixjax.data.caption_pairs import CaptionPairs
from pixjax.data.mixture import Mixture
from pixjax.data.source import ImageSource, Source
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

_MAY_BE_PAIRS = ("pairs", "captions", "array_record", "tfds")


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
    parsed = SourceUri.parse(uri)
    if context_canvases and codec is not None:
        if (pairs := _open_pairs(parsed, canvas_size, codec, context_canvases, max_bad_fraction)) is not None:
            return pairs
    elif parsed.scheme == "pairs" or _answer_of(parsed) is not None:
        raise InputError(f"{uri} has prompts, for which this model has no place: set model.context_canvases=1 or more")
    if _whole_modality(parsed) == TEXT:
        if codec is None:
            raise InputError(f"{uri} is text: opening it needs a codec")
        return _open_text_source(parsed, codec, max_bad_fraction)
    return _open_image_source(parsed, canvas_size)


def modality_of(uri: SourceUri) -> Modality:
    """TEXT or IMAGE, by the scheme, by what was prepared, or by which side of a pair is answered."""
    answer = _answer_of(uri)
    return _whole_modality(uri) if answer is None else answer


def _answer_of(uri: SourceUri) -> Modality | None:
    return uri.answer if uri.scheme in _MAY_BE_PAIRS else None


def _whole_modality(uri: SourceUri) -> Modality:
    """That of a source without the option `answer`."""
    if uri.scheme == "pairs":
        from pixjax.data.pairs import pairs_modality

        return pairs_modality(uri)
    if uri.scheme == "demo":
        if uri.place not in ("text", "images"):
            raise InputError(f"demo:{uri.place} does not exist: there are demo:text and demo:images")
        return TEXT if uri.place == "text" else IMAGE
    if uri.scheme == "array_record":
        from pixjax.data.prepared import prepared_modality

        return prepared_modality(uri)
    if uri.scheme == "tfds":
        from pixjax.data.tfds_source import tfds_modality

        return tfds_modality(uri)
    return TEXT if uri.scheme == "text" else IMAGE


def _open_pairs(
    uri: SourceUri, canvas_size: int, codec: CanvasCodec, context_canvases: int, max_bad_fraction: float
) -> Source | None:
    """None for a source without captions."""
    if uri.scheme == "pairs":
        from pixjax.data.pairs import Pairs

        return Pairs(
            uri,
            canvas_size=canvas_size,
            codec=codec,
            context_canvases=context_canvases,
            max_bad_fraction=max_bad_fraction,
        )
    if uri.scheme not in _MAY_BE_PAIRS or (_whole_modality(uri) == TEXT and uri.answer is None):
        return None
    if _whole_modality(uri) == IMAGE and (pictures := _open_image_source(uri, canvas_size)).has_captions:
        return CaptionPairs(pictures, codec, IMAGE if uri.answer is None else uri.answer)
    if uri.answer is not None:
        raise InputError(f"{uri} has no pictures with captions: leave out the option answer")
    return None


def _open_text_source(uri: SourceUri, codec: CanvasCodec, max_bad_fraction: float) -> Source:
    if uri.scheme == "array_record":
        from pixjax.data.prepared import open_prepared_text

        return open_prepared_text(uri, codec)
    from pixjax.data.bad_records import SkippedRows
    from pixjax.data.text_files import text_documents
    from pixjax.data.token_stream import MemoryTokens, TokenStream, tokenize_documents

    skipped = SkippedRows(str(uri), max_bad_fraction)
    ids, coverage = tokenize_documents(text_documents(uri, skipped), codec)
    if not len(ids):
        raise InputError(f"text source {str(uri)!r} is empty: its files hold no text")
    coverage.require(str(uri), bytes_instead(codec.code))
    return TokenStream(
        str(uri),
        MemoryTokens(ids),
        capacity=codec.capacity,
        pad_id=codec.pad_id,
        coverage=coverage,
        skipped=skipped.counts,
    )


def _open_image_source(uri: SourceUri, canvas_size: int) -> ImageSource:
    if uri.scheme == "demo":
        from pixjax.data.demo import DemoViews

        return DemoViews(uri, canvas_size=canvas_size)
    if uri.scheme == "array_record":
        from pixjax.data.prepared import PreparedPictures

        return PreparedPictures(uri, canvas_size=canvas_size)
    if uri.scheme == "tfds":
        from pixjax.data.tfds_source import TfdsPictures

        return TfdsPictures(uri, canvas_size=canvas_size)
    from pixjax.data.parquet_pictures import ParquetPictures, is_parquet

    if is_parquet(uri):
        return ParquetPictures(uri, canvas_size=canvas_size)
    if uri.scheme == "captions":
        from pixjax.data.captions import CaptionedPictures

        return CaptionedPictures(uri, canvas_size=canvas_size)
    from pixjax.data.picture_files import PictureFiles

    return PictureFiles(uri, canvas_size=canvas_size)


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
