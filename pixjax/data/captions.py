"""`captions:`: pictures that come with their captions, in a table or in a .txt beside each."""

from collections.abc import Iterable

from pixjax.codec import IMAGE
from pixjax.data.caption_tables import find_captions, read_captions
from pixjax.data.files import is_picture, open_files
from pixjax.data.images import BadImage
from pixjax.data.picture_files import read_picture
from pixjax.data.source import Picture
from pixjax.data.text_formats import format_of
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


class CaptionedPictures:
    """Every picture has at least one caption, and every caption a picture.

    Captions stand in the rows of a table, under the key `captions` (or `caption`, `text`) of a `file` (or
    `file_name`, `image`): the table that the option `captions` names, NAME.jsonl or captions.jsonl beside NAME.zip,
    captions.jsonl or metadata.jsonl in the folder, or one of these as .json, .csv, .tsv or .parquet. Without one,
    NAME.txt beside each NAME.jpg holds its captions, one a line.
    """

    modality = IMAGE
    num_labels = 0
    has_captions = True

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("captions", "answer")
        self.uri = str(uri)
        self._size = canvas_size
        listed = find_captions(uri)
        wanted = _is_picture if listed else lambda name: _is_picture(name) or name.lower().endswith(".txt")
        self._files = open_files(uri.place, "captions source", wanted)
        self._pictures = [i for i, name in enumerate(self._files.names) if _is_picture(name)]
        names = [self._files.names[i] for i in self._pictures]
        self.captions = tuple(_match(names, read_captions(listed) if listed else self._from_texts(), str(uri)))

    def _from_texts(self) -> dict[str, tuple[str, ...]]:
        """Captions by the name of their file without its ending."""
        texts = {}
        for index, name in enumerate(self._files.names):
            if name.lower().endswith(".txt"):
                try:
                    lines = self._files.read(index).decode("utf-8").splitlines()
                except UnicodeDecodeError:
                    raise InputError(f"{self.uri}: {name} is not UTF-8 text") from None
                texts[name[:-4]] = tuple(line.strip() for line in lines if line.strip())
        return texts

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, record: int) -> str:
        return self._files.names[self._pictures[record]]

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Picture | BadImage:
        try:
            pixels = read_picture(self._files, self._pictures[record], self._size)
        except BadImage as bad:
            return bad
        return Picture(pixels, captions=self.captions[record])


def _is_picture(name: str) -> bool:
    return is_picture(name) and format_of(name) is None


def _match(names: list[str], captions: dict[str, tuple[str, ...]], uri: str) -> list[tuple[str, ...]]:
    """The captions of each picture. Raises `InputError` where some picture or some caption is alone."""
    unused = dict(captions)
    found = []
    for name in names:
        keys = (name, name.rsplit("/", 1)[-1], name.rsplit(".", 1)[0])
        key = next((key for key in keys if captions.get(key)), None)
        found.append(captions[key] if key else ())
        unused.pop(key or "", None)
    alone = [name for name, of_name in zip(names, found, strict=True) if not of_name]
    if not captions:
        raise InputError(f"{uri} has {len(names)} pictures and no captions: add captions.jsonl, or use images:")
    if alone:
        raise InputError(f"{uri}: {len(alone)} of {len(names)} pictures have no caption, the first is {alone[0]}")
    if unused:
        raise InputError(f"{uri}: {len(unused)} captions have no picture, the first is that of {next(iter(unused))}")
    return found
