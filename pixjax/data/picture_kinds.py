"""Names of pictures: all but the kinds of file that are known to be something else.

Names are hints, and hashes or numbers without an ending are common names of pictures. So what is unknown counts as a
picture, and is counted as a bad one if it is none.
"""

import functools

# What cameras, phones, file managers, downloads and authors of data sets leave beside pictures.
_ENDINGS = frozenset(
    f".{ending}"
    for kind in (
        "txt text md rst rtf pdf doc docx odt xls xlsx ods ppt pptx odp tex log caption",
        "json jsonl ndjson csv tsv xml html htm yaml yml toml ini cfg conf cls index db sqlite lmdb mdb",
        "npy npz pt pth pkl pickle safetensors ckpt h5 hdf5 mat parquet arrow feather tfrecord array_record",
        "zip tar gz tgz bz2 xz zst 7z rar iso dmg md5 sha1 sha256 sha512 sig asc",
        "aae xmp thm lrv lrf pp3 dop ithmb lrcat lrprev url lnk webloc torrent exe dll apk",
        "mov mp4 m4v avi mkv webm mpg mpeg wmv 3gp mts m2ts flv mp3 wav m4a aac flac ogg opus",
        "py ipynb sh bat ps1 js css c h cpp m r part crdownload download tmp bak swp",
    )
    for ending in kind.split()
)
_NAMES = frozenset(
    (
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "readme",
        "license",
        "licence",
        "copying",
        "notice",
        "makefile",
    )
)
_NO_PICTURES = _ENDINGS | _NAMES
_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"))
_HEIC = (".heic", ".heif", ".hif")


def is_hidden(part: str) -> bool:
    """Whether a file or folder, by the last part of its path, belongs to a file system or a file manager."""
    return part.startswith(".") or part.lower() in _FOLDERS


def is_in_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, is hidden; the name is relative to the source."""
    folder, _, last = name.rpartition("/")
    return is_hidden(last) or _is_hidden_folder(folder)


@functools.lru_cache(maxsize=1024)  # of a million pictures, those of one folder come one after the other
def _is_hidden_folder(folder: str) -> bool:
    return any(map(is_hidden, folder.split("/")))


def is_picture(name: str) -> bool:
    """Whether a path, relative to its source and with forward slashes, may be a picture."""
    return not (name.endswith("/") or is_in_hidden(name) or kind_of(name) in _NO_PICTURES)


def is_heic(name: str) -> bool:
    return name.lower().endswith(_HEIC)


def kind_of(name: str) -> str:
    """The ending, with its dot, or the whole name of what has no ending, or has a name of its own."""
    last = name.rsplit("/", 1)[-1].lower()
    stem, dot, ending = last.rpartition(".")
    return dot + ending if dot and stem and last not in _NAMES else last


def shown(name: str) -> str:
    r"""A name for messages and JSON: bytes that are not UTF-8, and what would break a line, as \x escapes."""
    if name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape" if _is_escaped(name) else "backslashreplace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text.decode("utf-8", "backslashreplace")
    )


def _is_escaped(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
