"""The labels of a source of pictures: the place where they stand, and each picture's own.

The first of these that there is: the file that the option `labels` names; FILE.jsonl or labels.jsonl beside FILE.zip;
labels.jsonl, or the dataset.json of StyleGAN and EDM, within the source; the .cls or .json of a webdataset sample; the
sub-folders. `labels=folders` takes the sub-folders whatever else there is, `labels=none` nothing.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from pixjax.data.files import Files, JoinedFiles, PictureList, sample_key
from pixjax.data.labels import class_name
from pixjax.data.listed import common_folder, match_names, read_lines_by_file
from pixjax.data.picture_kinds import shown
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError
from pixjax.paths import reachable_path

_TRAIN = frozenset(("train", "training", "trn", "train_set"))
_OTHERS = frozenset(
    name
    for kind in (
        "val valid validation val_set dev eval evaluation test testing tst test_set",
        "holdout held_out held-out extra unlabeled unlabelled",
    )
    for name in kind.split()
)

ALL = "all"


def choose_split(names: Sequence[str], split: str, where: str, *, refuse: bool = True) -> tuple[list[int], list[str]]:
    """The pictures of a split, by index, and their names without its folder.

    A split is a folder such as `train/` or `val/` above the classes or, in every class, below it. `split` names one;
    `all` takes every split for one set of pictures. Without it there may be none: raises `InputError` where some
    folders are named like splits, unless told not to `refuse`, and where `split` names none of them.
    """
    around = common_folder(names)
    parts = [name[len(around) :].split("/") for name in names]
    for level in (0, 1):
        folders = sorted({of_name[level] for of_name in parts if len(of_name) > level + 1})
        if not _are_splits(folders):
            continue
        if not split:
            if not refuse:
                break
            known = " and ".join(f"{shown(name)}/" for name in folders)
            raise InputError(
                f"{where} holds the splits {known}: add ?split={shown(folders[0])} to take one of them, ?split={ALL} "
                "to take all as one set, or ?labels=folders if they are classes"
            )
        chosen = [i for i, p in enumerate(parts) if len(p) > level + 1 and split in (ALL, p[level])]
        if not chosen:
            raise InputError(f"{where}: there is no split {split!r}: it has {', '.join(map(shown, folders))}")
        return chosen, ["/".join(parts[i][:level] + parts[i][level + 1 :]) for i in chosen]
    if split and split != ALL and split not in around.split("/"):
        raise InputError(f"{where} has no splits, of which {split!r} could be one: leave out split={split}")
    return list(range(len(names))), list(names)


def _are_splits(folders: Sequence[str]) -> bool:
    lowered = {name.lower() for name in folders}
    known = lowered & (_TRAIN | _OTHERS)
    return len(known) > 1 and (known == lowered or bool(known & _TRAIN and known & _OTHERS))


def classes_by_folder(names: Sequence[str], container: str = "") -> list[str | None]:
    """The class of each picture: the first folder below the one around everything; None for what is in no folder.

    container: the name of an archive without its ending. One folder of that name, or of the name of a split, around all
    pictures is how file managers pack, and no class.
    """
    around = common_folder(names)
    if around and any("/" not in name[len(around) :] for name in names):  # it holds pictures itself
        folder = around.rstrip("/").split("/")[-1]
        no_class = folder.lower() in _TRAIN | _OTHERS or (container and folder.lower() == container.lower())
        if not no_class:
            return [_class(folder)] * len(names)
    rest = [name[len(around) :] for name in names]
    return [_class(name.split("/")[0]) if "/" in name else None for name in rest]


def _class(folder: str) -> str:
    return shown(class_name(folder))


def folders_alike(names: Sequence[str]) -> list[tuple[str, str]]:
    """Classes that differ in nothing but case, or in spaces around them."""
    seen: dict[str, str] = {}
    alike = []
    for name in sorted(names):
        key = name.strip().casefold()
        if key in seen:
            alike.append((seen[key], name))
        seen.setdefault(key, name)
    return alike


# A line's label is the first of these keys that it has: a number as it stands, or a name, numbered in sorted order.
_LABEL_KEYS = ("label", "class", "wnid", "class_name", "cls")
_ARCHIVES = (".zip", ".tar")
_DATASET_JSON = "dataset.json"
_LABELS_JSONL = "labels.jsonl"

Listed = Mapping[str, Any]  # labels by the name of a file, None for a file without one


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Indices of the pictures among the files, the label of each, where these stand, and notes for the user."""

    pictures: Sequence[int]
    labels: Sequence[Any]
    where: str
    notes: tuple[str, ...] = ()


def label_pictures(uri: SourceUri, files: Files, found: PictureList) -> Labelled:
    """Raises `InputError` where the labels are of other pictures, or splits lie above the classes."""
    given = uri.option("labels")
    names = [files.names[index] for index in found.indices]
    several = isinstance(files, JoinedFiles)  # then the first folder of a name is its archive
    inner = [name.partition("/")[2] for name in names] if several else names
    chosen, inner = choose_split(inner, uri.option("split"), str(uri), refuse=given != "folders")
    pictures = [found.indices[place] for place in chosen]
    names = [names[place] for place in chosen]
    if given == "none":
        return Labelled(pictures, [None] * len(pictures), str(uri))
    if given != "folders" and (listed := _find_listed(uri, given, files)) is not None:
        labels, where = listed
        return _from_listed(pictures, names, labels, str(uri), where)
    if given != "folders" and (of_samples := _of_samples(files, names)) is not None:
        labels_of_samples, notes = of_samples
        return Labelled(pictures, labels_of_samples, str(uri), notes)
    path = reachable_path(uri.place)
    container = path.name[: -len(path.suffix)] if path.suffix.lower() in _ARCHIVES else ""
    return Labelled(pictures, classes_by_folder(inner, container), str(uri))


def _find_listed(uri: SourceUri, given: str, files: Files) -> tuple[Listed, str] | None:
    path = reachable_path(uri.place)
    if given:
        if not (listed := reachable_path(given)).exists():
            raise InputError(f"{given!r}, the labels of {uri}, does not exist")
        labels = _of_path(listed)
        if labels is None or all(label is None for label in labels.values()):
            raise InputError(f"{given!r}, the labels of {uri}, has no label: give each line one of {_LABEL_KEYS}")
        return labels, listed.name
    if path.suffix.lower() in _ARCHIVES:
        for beside in (path.with_suffix(".jsonl"), path.parent / _LABELS_JSONL):
            if beside.exists() and (labels := _of_path(beside)) and any(v is not None for v in labels.values()):
                return labels, beside.name
    within: dict[str, Any] = {}
    kind = ""
    for index, name in enumerate(files.names):
        folder, slash, last = name.rpartition("/")
        if last not in (_LABELS_JSONL, _DATASET_JSON):
            continue
        try:
            data = files.read(index)
        except Exception as error:
            raise InputError(f"{uri}: {shown(name)} cannot be read: {error}") from None
        where = f"{uri}: {shown(name)}"
        labels = _dataset_json(data, where) if last == _DATASET_JSON else _labels_of(read_lines_by_file(data, where))
        if labels is not None:
            within |= {folder + slash + file: label for file, label in labels.items()}
            kind = last
    return (within, kind) if kind else None


def _of_path(path: epath.Path) -> Listed | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from None
    if path.suffix.lower() == ".json" and (labels := _dataset_json(data, str(path))) is not None:
        return labels
    return _labels_of(read_lines_by_file(data, str(path)))


def _labels_of(lines: Mapping[str, Sequence[dict]]) -> Listed:
    labels = {}
    for name, entries in lines.items():
        found = [next((entry[key] for key in _LABEL_KEYS if key in entry), None) for entry in entries]
        different = [label for label in found if label != found[0]]
        if different:
            raise InputError(
                f"{shown(name)} has the label {found[0]!r} and the label {different[0]!r} in the list of labels: "
                "give each picture one class"
            )
        labels[name] = found[0]
    return labels


def _dataset_json(data: bytes, where: str) -> Listed | None:
    """`{"labels": [[FILE, NUMBER], …]}`, or null for none; None for another JSON."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or "labels" not in content:
        return None
    labels = content["labels"]
    if labels is None:
        return {}
    try:
        pairs = labels.items() if isinstance(labels, dict) else labels
        return {str(file): label for file, label in pairs}
    except (TypeError, ValueError):
        raise InputError(
            f"{where}: its labels are no list of [FILE, NUMBER]: write it anew, or add ?labels=none"
        ) from None


def _from_listed(pictures: Sequence[int], names: Sequence[str], listed: Listed, uri: str, where: str) -> Labelled:
    if not listed:  # null: there are none, and folders are no classes
        return Labelled(pictures, [None] * len(names), uri, (f"{where} says that there are no labels",))
    matched = match_names(names, listed)
    labels = [None if name is None else listed[name] for name in matched]
    used = {name for name in matched if name is not None}
    if not used:
        raise InputError(
            f"{uri}: none of the {len(listed):,} names in {where}, such as {shown(next(iter(listed)))}, is one of its "
            f"{len(names):,} pictures, such as {shown(names[0])}: mend the names, or add ?labels=folders or "
            "?labels=none"
        )
    notes = []
    alone = [name for name, label in zip(names, labels, strict=True) if label is None]
    if alone:
        notes.append(
            f"{len(alone):,} of {len(names):,} pictures have no label in {where}, the first is {shown(alone[0])}"
        )
    if unused := [name for name in listed if name not in used]:
        notes.append(
            f"{len(unused):,} of {len(listed):,} names in {where} are of no picture, the first is {shown(unused[0])}"
        )
    return Labelled(pictures, labels, f"{uri}, {where}", tuple(notes))


def _of_samples(files: Files, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...]] | None:
    """Labels from the .cls, or else the .json, that has a picture's key; None where no picture has any."""
    sides: dict[tuple[str, str], int] = {}
    for index, name in enumerate(files.names):
        if name.endswith((".cls", ".json")) and (of_side := sample_key(name))[1] in ("cls", "json"):
            sides[of_side] = index
    if not sides:
        return None
    labels: list[Any] = []
    unreadable = []
    for name in names:
        key = sample_key(name)[0]
        label: Any = None
        try:
            if (key, "cls") in sides:
                label = _number_or_name(files.read(sides[key, "cls"]).decode("utf-8-sig").strip())
            elif (key, "json") in sides:
                entry = json.loads(files.read(sides[key, "json"]))
                label = next((entry[k] for k in _LABEL_KEYS if k in entry), None) if isinstance(entry, dict) else None
        except Exception:  # what an archive or JSON may raise: the picture itself may be good
            unreadable.append(name)
        labels.append(label)
    if all(label is None for label in labels) and not unreadable:
        return None
    notes = []
    if unreadable:
        notes.append(f"{len(unreadable):,} labels cannot be read, the first is that of {shown(unreadable[0])}")
    return labels, tuple(notes)


def _number_or_name(text: str) -> int | str | None:
    try:
        return int(text)
    except ValueError:
        return text or None
