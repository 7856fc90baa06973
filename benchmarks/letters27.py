"""Make `letters27`, the text that the figures of README are measured on, from 47 books of Project Gutenberg.

    python benchmarks/letters27.py BOOKS [--out=letters27]

BOOKS is a folder with the books as Project Gutenberg gives them (`120.txt`, `pg120.txt`, `120-0.txt`, or any name where
the text says "[EBook #120]"), also in folders inside it; or a file of JSON lines with `pg_id` and `text`, gzipped or
not. The script writes `train.txt.gz`, `valid.txt.gz` and `test.txt.gz`, and says whether they are what was measured on.

The rule is that of text8. Of each book it takes what lies between the START and END lines, without paragraphs that name
Project Gutenberg, in lower case, with accents stripped, digits spelled, and every other run of characters as one space.
The first 94 % of a book are training text, the next 3 % validation, the last 3 % test. Books are joined by a space,
those of the training text in the order that `random.Random(0)` shuffles them into.

Project Gutenberg renews its texts, and a newer edition is refused by its checksum. The ones that were used are in the
folder `data` of https://github.com/RU-ECE/ECE451-Parallel at commit c58dca3a6abedd8041057571c247e9a393cc3b4d.
`--any-edition` takes newer ones too; the text is then nearly `letters27`, and the script says so.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import random
import re
import sys
from collections.abc import Iterator, Mapping

from pixjax.codec.tokenizer import to_27_letters
from pixjax.errors import InputError

# Number at Project Gutenberg: the beginning of the sha256 of the whole book in 27 letters.
BOOKS = {
    11: "79e97add3e7134ec",  # Alice’s Adventures in Wonderland
    120: "18cd36f1e3214b4e",  # Treasure Island
    1237: "bd18c3bed71afc19",  # Father Goriot
    145: "658bf8ee48e48cbc",  # Middlemarch
    158: "fe550ed1637f6772",  # Emma
    205: "13cb80ed6a3bf06e",  # Walden, and On The Duty Of Civil Disobedience
    219: "66070b4b17ffc828",  # Heart of Darkness
    244: "68e143e2da3eb050",  # A Study In Scarlet
    25344: "32cef70d1fcd9157",  # The Scarlet Letter
    2591: "bc77cabdcf634ce5",  # Grimms’ Fairy Tales
    2600: "a7fef523c7c576ab",  # War and Peace
    2701: "99a9e773d1df3834",  # Moby Dick; or The Whale
    308: "2b63b53e8ee15f70",  # Three Men in a Boat
    36: "ccf553f89d3357e2",  # The War of the Worlds
    41: "3baa5ca553f85a42",  # The Legend of Sleepy Hollow
    43: "2c1fdfa37a900c49",  # The Strange Case Of Dr. Jekyll And Mr. Hyde
    46: "2248510f498424b7",  # A Christmas Carol
    56817: "20c8c206ee5c5d75",  # The American Printer: A Manual of Typography
    74: "638cd6e07d810638",  # The Adventures of Tom Sawyer, Complete
    76: "683343f7955824bf",  # Adventures of Huckleberry Finn, Complete
    766: "34509291322548fc",  # David Copperfield
    829: "5c933256e2009c87",  # Gulliver's Travels
    940: "10b57c82bb04b3ad",  # The Last of the Mohicans
    98: "7a96f40f6eeaf28d",  # A Tale of Two Cities
    45: "210b6f96e7bc9d4d",  # Anne of Green Gables
    1400: "ddf1540c1096a127",  # Great Expectations
    19068: "c4c07593790e0ed2",  # Household Stories by the Brothers Grimm
    1322: "ba4d91afddc97648",  # Leaves of Grass
    60271: "03539d750d4ef166",  # From Newton to Einstein
    1260: "eadf622e54701e82",  # Jane Eyre
    128: "e54e19a4a7945ba4",  # The Arabian Nights Entertainments
    174: "c47044e29a2212fb",  # The Picture of Dorian Gray
    20203: "5124893879c8903b",  # Autobiography of Benjamin Franklin
    2298: "4b49c995e2da39d8",  # Great Astronomers
    345: "a5d78a90abc7caf7",  # Dracula
    55: "3c5f06b16b04ceb9",  # The Wonderful Wizard of Oz
    6130: "0c488a44197d13cd",  # The Iliad of Homer
    768: "590fdc320942239e",  # Wuthering Heights
    844: "4cdc86472bb0d00d",  # The Importance of Being Earnest
    1232: "7823fd307640339c",  # The Prince
    435: "18d8d98ac9d6766a",  # The Miracle Mongers, an Exposé
    1342: "79b9d2feec52e3e0",  # Pride and Prejudice
    161: "4764abf36da80581",  # Sense and Sensibility
    1661: "5dd55b85ed66d3cf",  # The Adventures of Sherlock Holmes
    521: "99b64b03450ee184",  # The Life and Adventures of Robinson Crusoe
    834: "28b9ef83ee389af4",  # The Memoirs of Sherlock Holmes
    11703: "bc67faf824272459",  # The Swiss Family Robinson; or Adventures in a Desert Island
}
# Of the texts, not of the compressed files.
SHA256 = {
    "train": "120f898e9486c180f74b60538e889330fe723fd570dae0345455c718fc22d119",
    "valid": "2a687a6a0ed81ed922a19aaf23268dacb007275d5b92d4eee57632c611eb483d",
    "test": "8bb3f6cd3302f7b8a88ac61bfb7c20f30dd0f0c2265554fb392323fc7b8840bd",
}
_NUMBERED = re.compile(r"(?:pg)?(\d+)(?:-\w+)?")
_IN_HEADER = re.compile(r"\[e(?:text|book) #(\d+)\]", re.IGNORECASE)
_START = re.compile(r"^\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*?\*\*\*[^\n]*\n", re.MULTILINE | re.DOTALL)
_END = re.compile(r"^\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")


def body(text: str) -> str:
    """A book without what Project Gutenberg puts around it; a text without its lines stays whole."""
    text = text.replace("\r\n", "\n")
    if start := _START.search(text):
        text = text[start.end() :]
    if end := _END.search(text):
        text = text[: end.start()]
    return "\n\n".join(part for part in _PARAGRAPHS.split(text) if "Project Gutenberg" not in part)


def split(books: list[str]) -> dict[str, str]:
    """The three texts that books in 27 letters make."""
    cuts = [(int(len(book) * 0.94), int(len(book) * 0.97)) for book in books]
    shuffled = list(range(len(books)))
    random.Random(0).shuffle(shuffled)
    return {
        "train": " ".join(books[i][: cuts[i][0]] for i in shuffled),
        "valid": " ".join(book[first:last] for book, (first, last) in zip(books, cuts, strict=True)),
        "test": " ".join(book[last:] for book, (_, last) in zip(books, cuts, strict=True)),
    }


def read_books(source: pathlib.Path, wanted: Mapping[int, str], any_edition: bool = False) -> list[str]:
    """The wanted books in 27 letters, in their order.

    wanted: number to the beginning of the sha256. Where several editions of a book lie there, the one with it is taken.
    Raises `InputError` for books that are not there, or only in another edition.
    """
    found: dict[int, str] = {}
    exact: set[int] = set()
    for number, text in _read_jsonl(source) if source.is_file() else _read_folder(source):
        if number not in wanted or number in exact:
            continue
        letters = to_27_letters(body(text))
        if hashlib.sha256(letters.encode()).hexdigest().startswith(wanted[number]):
            exact.add(number)
        elif number in found:
            continue
        found[number] = letters
    if missing := [number for number in wanted if number not in found]:
        raise InputError(
            f"{source} lacks {len(missing)} of the {len(wanted)} books, {_listed(missing)}: add each as NUMBER.txt, "
            "from https://www.gutenberg.org/ebooks/NUMBER"
        )
    if others := [number for number in wanted if number not in exact]:
        message = f"{source} has another edition (by its checksum) of {len(others)} books, {_listed(others)}"
        if not any_edition:
            raise InputError(
                f"{message}: take the texts that are named at the top of benchmarks/letters27.py, or add --any-edition "
                "for a text that is nearly letters27"
            )
        print(message, file=sys.stderr)
    return [found[number] for number in wanted]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")


def _read_jsonl(file: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line; where `pg_id` is null, the number in the file name under `path`."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            for line in lines:
                book = json.loads(line)
                named = _NUMBERED.fullmatch(pathlib.PurePosixPath(str(book.get("path", ""))).stem)
                number, text = book.get("pg_id") or (named and named[1]), book["text"]
                if not isinstance(text, str):
                    raise TypeError("text is not a string")
                if number:
                    yield int(number), text
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} is no file of JSON lines with pg_id and text ({error}): give a folder of .txt"
        ) from None


def _read_folder(folder: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Number and text of each .txt whose name or header says which book it is."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: give the folder that the books are in")
    for file in sorted(folder.rglob("*.txt")):
        data = file.read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:  # of the nineties
            text = data.decode("latin-1")
        named = _NUMBERED.fullmatch(file.stem) or _IN_HEADER.search(text[:8192])
        if named:
            yield int(named[1]), text


def write_texts(texts: Mapping[str, str], out: pathlib.Path) -> None:
    """OUT/NAME.txt.gz for each, whole or not at all, and its checksum on stdout."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        data = text.encode("ascii")
        draft = out / f".{name}.txt.gz.tmp"
        draft.write_bytes(gzip.compress(data, mtime=0))
        draft.replace(out / f"{name}.txt.gz")
        digest = hashlib.sha256(data).hexdigest()
        verdict = "that of letters27" if digest == SHA256.get(name) else "not that of letters27"
        print(f"{out / name}.txt.gz: {len(data):,} letters and spaces, sha256 {digest}, {verdict}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=pathlib.Path, metavar="BOOKS", help="folder of .txt, or a .jsonl or .jsonl.gz")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("letters27"), help="folder (letters27)")
    parser.add_argument("--any-edition", action="store_true", help="also books whose checksum is another")
    args = parser.parse_args(arguments)
    try:
        write_texts(split(read_books(args.books, BOOKS, args.any_edition)), args.out)
    except InputError as error:
        print(f"letters27: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"letters27: {error}: choose another path", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
