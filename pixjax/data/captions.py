"""`captions:`: pictures that come with their captions, in a table or in a .txt beside each."""

import json
import zipfile
from collections.abc import Iterable, Sequence

from etils import epath

from pixjax.codec import IMAGE, Modality
from pixjax.data.bad_records import BadRow
from pixjax.data.files import Files, JoinedFiles, PictureList, open_files, sample_key
from pixjax.data.images import BadImage
from pixjax.data.listed import match_names
from pixjax.data.parquet_pictures import ParquetPictures, is_parquet
from pixjax.data.picture_files import read_picture
from pixjax.data.picture_kinds import is_in_hidden, shown
from pixjax.data.picture_labels import choose_split
from pixjax.data.source import ImageSource, Picture
from pixjax.data.source_identity import digest, fingerprint_of_files
from pixjax.data.sources import SourceSpec
from pixjax.data.text_files import ENDINGS, TABLES, open_rows, require_format
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError
from pixjax.paths import reachable_path

# The first of these that a row has.
_FILE_KEYS = ("file", "file_name", "filename", "image")
_CAPTION_KEYS = ("captions", "caption", "text")


def find_captions(uri: SourceUri) -> epath.Path | None:
    """The table that the option `captions` names, or one beside the pictures; None without either."""
    path = reachable_path(uri.place)
    if given := uri.option("captions"):
        if not (listed := reachable_path(given)).exists():
            raise InputError(f"{given!r}, the captions of {uri}, does not exist")
        return listed
    stems = (
        [path / "captions", path / "metadata"] if path.is_dir() else [path.with_suffix(""), path.parent / "captions"]
    )
    endings = [ending for name in TABLES for ending in ENDINGS[name]]
    beside = (stem.parent / (stem.name + ending) for stem in stems for ending in endings)
    return next((file for file in beside if file.exists() and (file.stem != "metadata" or _has_captions(file))), None)


def _has_captions(path: epath.Path) -> bool:
    """What is called metadata may be about something else."""
    first = next((row for _, _, row in open_rows(path, require_format(path, "", TABLES)).rows()), None)
    return isinstance(first, dict) and any(key in first for key in _CAPTION_KEYS)


def read_captions(path: epath.Path) -> dict[str, tuple[str, ...]]:
    """Captions by file; a file may have several rows. Raises `InputError` for a row of another form."""
    captions: dict[str, tuple[str, ...]] = {}
    # Captions that are called .txt are lines of a table.
    file = open_rows(path, "csv" if path.suffix.lower() == ".txt" else require_format(path, "", TABLES))
    unit = file.unit
    for _, number, row in file.rows():
        if isinstance(row, BadRow):
            place = f"{path} {unit} {number}" if row.cause != "corrupt" or "UTF-8" not in row.detail else path
            raise InputError(f"{place}{row.detail}")
        name = next((row[key] for key in _FILE_KEYS if key in row), None) if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise InputError(f"{path} {unit} {number} is not a JSON object with the key 'file'")
        found = next((row[key] for key in _CAPTION_KEYS if key in row), None)
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
            raise InputError(f"{path}: the entry of {name} has neither 'captions', a list of texts, nor 'caption'")
        captions[name] = (*captions.get(name, ()), *found)
    return captions


class CaptionsSpec(SourceSpec):
    takes_answer = True

    def contents(self) -> Modality:
        return IMAGE

    def pictures(self, canvas_size: int) -> ImageSource:
        kind = ParquetPictures if is_parquet(self.uri) else CaptionedPictures
        return kind(self.uri, canvas_size=canvas_size)


class CaptionedPictures:
    """Every picture has at least one caption, and every caption a picture.

    Captions stand in the rows of a table, under the key `captions` (or `caption`, `text`) of a `file` (or
    `file_name`, `image`): the table that the option `captions` names, NAME.jsonl or captions.jsonl beside NAME.zip,
    captions.jsonl or metadata.jsonl in the folder, or one of these as .json, .csv, .tsv or .parquet. Several rows of
    one file are several captions. Without a table, NAME.txt beside each NAME.jpg holds its captions, one a line, or
    NAME.json has them.
    """

    modality = IMAGE
    num_labels = 0
    has_captions = True

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("captions", "answer", "split")
        self.uri = str(uri)
        self._size = canvas_size
        listed = find_captions(uri)
        files = open_files(uri.place, "captions source")
        found = PictureList.of(files, self.uri, "captions source")
        names = [files.names[index] for index in found.indices]
        inner = [name.partition("/")[2] for name in names] if isinstance(files, JoinedFiles) else names
        chosen, _ = choose_split(inner, uri.option("split"), self.uri)
        names = [names[place] for place in chosen]
        captions = read_captions(listed) if listed else _from_sides(files, names, self.uri)
        self.captions = tuple(_match(names, captions, self.uri, is_whole=not uri.option("split")))
        self._files = files.only([found.indices[place] for place in chosen])
        self.notes = tuple(found.notes(besides=(".txt", ".json", ".jsonl")))

    def __len__(self) -> int:
        return len(self._files.names)

    def name(self, record: int) -> str:
        return shown(self._files.names[record])

    def stamp(self, record: int) -> str:
        """Changes with the picture or its captions."""
        return f"{self._files.stamp(record)} {json.dumps(self.captions[record])}"

    def fingerprint(self) -> str:
        return digest(
            [fingerprint_of_files(self._files), *(caption for of_one in self.captions for caption in ("", *of_one))]
        )

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Picture | BadImage:
        try:
            pixels = read_picture(self._files, record, self._size)
        except BadImage as bad:
            return bad
        return Picture(pixels, captions=self.captions[record])


def _captions_of(entry: object) -> list[str] | None:
    """None where there are none, or they are no texts."""
    if not isinstance(entry, dict):
        return None
    found = next((entry[key] for key in _CAPTION_KEYS if key in entry), None)
    found = [found] if isinstance(found, str) else found
    return found if isinstance(found, list) and found and all(isinstance(text, str) for text in found) else None


def _from_sides(files: Files, names: Sequence[str], uri: str) -> dict[str, tuple[str, ...]]:
    """Captions by the name of their .txt or .json without its ending; of a .json only beside a picture."""
    keys = {key for name in names for key in (name.rpartition(".")[0], sample_key(name)[0])}
    captions: dict[str, tuple[str, ...]] = {}
    for index, name in enumerate(files.names):
        stem, _, ending = name.rpartition(".")
        if ending.lower() not in ("txt", "json") or is_in_hidden(name):
            continue
        if ending.lower() == "json" and (stem in captions or stem not in keys):
            continue
        try:
            data = files.read(index)
            if ending.lower() == "json":
                if of_picture := _captions_of(json.loads(data)):
                    captions[stem] = tuple(of_picture)
                continue
            lines = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{uri}: {shown(name)} is not UTF-8 text") from None
        except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
            raise InputError(f"{uri}: {shown(name)} cannot be read ({error}): mend it, or remove it") from None
        captions[stem] = tuple(line.strip() for line in lines if line.strip())
    return captions


def _match(
    names: list[str], captions: dict[str, tuple[str, ...]], uri: str, *, is_whole: bool
) -> list[tuple[str, ...]]:
    """The captions of each picture.

    Raises `InputError` where some picture or, of a whole source, some caption is alone.
    """
    if not captions:
        raise InputError(f"{uri} has {len(names)} pictures and no captions: add captions.jsonl, or use images:")
    matched = match_names(names, captions)
    for place, name in enumerate(names):
        if matched[place] is None and sample_key(name)[0] in captions:
            matched[place] = sample_key(name)[0]
    found = [() if key is None else captions[key] for key in matched]
    alone = [name for name, of_name in zip(names, found, strict=True) if not of_name]
    if alone:
        raise InputError(
            f"{uri}: {len(alone)} of {len(names)} pictures have no caption, the first is {shown(alone[0])}"
        )
    if is_whole and (unused := sorted(captions.keys() - set(matched))):
        raise InputError(f"{uri}: {len(unused)} captions have no picture, the first is that of {shown(unused[0])}")
    return found
