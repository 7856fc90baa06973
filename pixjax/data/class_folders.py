"""Classes by sub-folder: which level of the folders names them, and whether there are splits above or below."""

import unicodedata
from collections.abc import Sequence

from pixjax.data.listed import common_folder
from pixjax.data.picture_kinds import shown
from pixjax.errors import InputError

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
    return shown(unicodedata.normalize("NFC", folder))


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
