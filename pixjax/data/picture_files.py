"""`images:`: pictures in a folder or in archives, labelled by sub-folder, by a file of labels, or by what lies beside
each in a webdataset shard.
"""

import zipfile
from collections.abc import Iterable, Sequence

from pixjax.codec import IMAGE, Modality
from pixjax.data.files import Files, PictureList, open_files
from pixjax.data.images import BadImage, Pixels, decode_image
from pixjax.data.labels import number_labels
from pixjax.data.parquet_pictures import ParquetPictures, is_parquet
from pixjax.data.picture_kinds import shown
from pixjax.data.picture_labels import folders_alike, label_pictures
from pixjax.data.source import ImageSource, Picture
from pixjax.data.source_identity import digest, fingerprint_of_files
from pixjax.data.sources import SourceSpec
from pixjax.data.uri import SourceUri


class ImagesSpec(SourceSpec):
    def contents(self) -> Modality:
        return IMAGE

    def pictures(self, canvas_size: int) -> ImageSource:
        kind = ParquetPictures if is_parquet(self.uri) else PictureFiles
        return kind(self.uri, canvas_size=canvas_size)


class PictureFiles:
    """Encoded image files, decoded on reading."""

    modality = IMAGE
    has_captions = False

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("labels", "split")
        self.uri = str(uri)
        self._size = canvas_size
        files = open_files(uri.place, "image source")
        found = PictureList.of(files, self.uri, "image source")
        labelled = label_pictures(uri, files, found)
        self._labels = number_labels(labelled.labels, labelled.where)
        self.files: Files = files.only(labelled.pictures)
        self.num_labels = self._labels.count
        self.class_names = self._labels.names if self.num_labels else None
        self.class_records = self._labels.records
        self.notes = (
            *found.notes(besides=(".cls", ".json", ".jsonl")),
            *labelled.notes,
            *_doubts(self.class_names or ()),
        )

    def __len__(self) -> int:
        return len(self.files.names)

    def name(self, record: int) -> str:
        return shown(self.files.names[record])

    def stamp(self, record: int) -> str:
        """Changes with the picture or its label."""
        label = self._labels.numbers[record]
        return (
            f"{self.files.stamp(record)} {label} {self.class_names[label] if self.class_names and label >= 0 else ''}"
        )

    def fingerprint(self) -> str:
        return digest([fingerprint_of_files(self.files), *self._labels.numbers])

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Picture | BadImage:
        try:
            return Picture(read_picture(self.files, record, self._size), self._labels.numbers[record])
        except BadImage as bad:
            return bad


def read_picture(files: Files, record: int, size: int) -> Pixels:
    """Raises `BadImage`, also for a file that is gone or a damaged archive member."""
    try:
        data = files.read(record)
    except FileNotFoundError as error:
        raise BadImage("missing", str(error)) from None
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise BadImage("corrupt", str(error)) from None
    return decode_image(data, size)


def _doubts(names: Sequence[str]) -> list[str]:
    return [f"classes {one!r} and {other!r} differ in case or spaces only" for one, other in folders_alike(names)[:3]]
