"""`captions:`: pictures that come with their captions, in a JSONL file or in a .txt beside each."""

from collections.abc import Iterable

from etils import epath

from pixjax.codec import IMAGE
from pixjax.data.files import is_picture, open_files
from pixjax.data.fingerprint import digest
from pixjax.data.images import BadImage
from pixjax.data.paths import reach
from pixjax.data.picture_files import read_jsonl_by_file, read_picture
from pixjax.data.source import Picture
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


class CaptionedPictures:
    """Every picture has at least one caption, and every caption a picture.

    Captions stand in the lines of a JSONL file, under the key `captions` (or `caption`) of a `file`: the one
    the option `captions` names, NAME.jsonl or captions.jsonl beside NAME.zip, captions.jsonl in the folder.
    Without one, NAME.txt beside each NAME.jpg holds its captions, one a line.
    """

    modality = IMAGE
    num_labels = 0
    has_captions = True

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("captions", "answer")
        self.uri = str(uri)
        self._size = canvas_size
        listed = _find_jsonl(uri)
        wanted = is_picture if listed else lambda name: is_picture(name) or name.lower().endswith(".txt")
        self._files = open_files(uri.place, "captions source", wanted)
        self._pictures = [i for i, name in enumerate(self._files.names) if is_picture(name)]
        names = [self._files.names[i] for i in self._pictures]
        self.captions = tuple(_match(names, _from_jsonl(listed) if listed else self._from_texts(), str(uri)))

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

    def fingerprint(self) -> str:
        return digest([self._files.fingerprint(), *(caption for of_one in self.captions for caption in ("", *of_one))])

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Picture | BadImage:
        try:
            pixels = read_picture(self._files, self._pictures[record], self._size)
        except BadImage as bad:
            return bad
        return Picture(pixels, captions=self.captions[record])


def _find_jsonl(uri: SourceUri) -> epath.Path | None:
    path = reach(uri.place)
    if given := uri.option("captions"):
        if not (listed := reach(given)).exists():
            raise InputError(f"{given!r}, the captions of {uri}, does not exist")
        return listed
    beside = (
        [path / "captions.jsonl"] if path.is_dir() else [path.with_suffix(".jsonl"), path.parent / "captions.jsonl"]
    )
    return next((candidate for candidate in beside if candidate.exists()), None)


def _from_jsonl(path: epath.Path) -> dict[str, tuple[str, ...]]:
    captions = {}
    for name, entry in read_jsonl_by_file(path).items():
        found = entry.get("captions", entry.get("caption"))
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
            raise InputError(f"{path}: the entry of {name} has neither 'captions', a list of texts, nor 'caption'")
        captions[name] = tuple(found)
    return captions


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
