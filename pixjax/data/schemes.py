"""The registry of data sources, by the scheme that a URI begins with."""

from typing import NamedTuple


class Scheme(NamedTuple):
    """How its URIs are written, and the subclass of `SourceSpec` that opens them, as `module:name`."""

    form: str
    spec: str
    is_path: bool = True  # whether its place is a path


SCHEMES = {
    "demo": Scheme("demo:text or demo:images", "pixjax.data.demo:DemoSpec", is_path=False),
    "text": Scheme("text:GLOB, text:FOLDER or text:FILE.zip of texts and tables", "pixjax.data.text_files:TextSpec"),
    "images": Scheme(
        "images:FOLDER, images:FILE.zip, or images:GLOB of .tar shards or .parquet files",
        "pixjax.data.picture_files:ImagesSpec",
    ),
    "captions": Scheme(
        "captions:FOLDER, captions:FILE.zip, or captions:GLOB of .tar shards or .parquet files",
        "pixjax.data.captions:CaptionsSpec",
    ),
    "pairs": Scheme("pairs:GLOB of tables of prompts and answers", "pixjax.data.pairs:PairsSpec"),
    "array_record": Scheme("array_record:GLOB of what pixjax prepare wrote", "pixjax.data.prepared:PreparedSpec"),
    "tfds": Scheme("tfds:NAME[/CONFIG]:SPLIT[?dir=FOLDER]", "pixjax.data.tfds_source:TfdsSpec", is_path=False),
}
