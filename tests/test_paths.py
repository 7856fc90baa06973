"""A path that a user gives is one path, whatever characters it has."""

import pathlib
import pickle
import tempfile

import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.checkpoints.run_files import workdir_path
from pixjax.cli import main
from pixjax.data.uri import SourceUri, expand_glob
from pixjax.errors import InputError
from pixjax.paths import is_remote, local_path, same_place, user_path

NAMES = st.text(
    st.one_of(st.sampled_from("[]*?{}~!%@#&= \\'\"\n:."), st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=8,
).filter(lambda name: not {"/", "\0"} & set(name) and name.strip(".") and len(name.encode()) < 100)


def test_a_home_is_expanded_and_a_local_path_is_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert str(user_path("~/run")) == str(user_path("run")) == f"{tmp_path}/run"
    assert str(user_path("./~/run")) == f"{tmp_path}/~/run"
    assert str(user_path("a~")) == f"{tmp_path}/a~"
    (tmp_path / "~old").mkdir()
    assert str(user_path("~old/run")) == f"{tmp_path}/~old/run"  # what is there is what is meant
    with pytest.raises(InputError, match=r"no user 'nobody-of-that-name' here.*write \./~nobody"):
        user_path("~nobody-of-that-name/run")
    assert same_place("~/run", "run")


def test_an_address_stays_as_it_is():
    assert str(user_path("gs://bucket/~/run")) == "gs://bucket/~/run"
    assert is_remote(user_path("gs://bucket/run"))
    with pytest.raises(InputError, match="--out=gs://bucket/x is not on this machine"):
        local_path("gs://bucket/x", "--out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--workdir is empty"),
        ("https://host/x", "cannot be reached: give a local path, or one of gs://"),
        ("/hf/run", "cannot be told from hf://"),
        ("a\0b", "zero byte"),
        ("a\\b", "backslash"),
        ("a\udcff", "is not UTF-8"),
    ],
)
def test_a_workdir_that_could_not_be_read_again_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        workdir_path(text)


def test_the_parent_of_a_link_is_where_it_leads(tmp_path):
    (tmp_path / "disk" / "runs").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk" / "runs")
    assert str(user_path(f"{tmp_path}/runs/../other")) == f"{tmp_path.resolve()}/disk/other"
    assert str(user_path(f"{tmp_path}/runs/x")) == f"{tmp_path}/runs/x"


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES)
def test_a_folder_and_a_file_of_any_name_are_found(folder, file):
    with tempfile.TemporaryDirectory() as root:
        place = pathlib.Path(root) / folder
        place.mkdir()
        (place / f"{file}.txt").write_text("")
        (pathlib.Path(root) / "other.txt").write_text("")
        assert [p.name for p in user_path(place).iterdir()] == [f"{file}.txt"]
        assert [p.name for p in user_path(place).glob("*.txt") if file[0] != "."] == [f"{file}.txt"][file[0] == "." :]
        assert [str(p) for p in expand_glob(f"{place}/{file}.txt", "text")] == [f"{place}/{file}.txt"]
        if file[0] != ".":
            assert [str(p) for p in expand_glob(f"{place}/*.txt", "text")] == [f"{place}/{file}.txt"]


def test_what_is_there_is_itself_before_it_is_a_pattern_or_an_option(tmp_path):
    for name in ("[2024] texts/a.txt", "2 texts/b.txt", "x?part=a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [p.name for p in expand_glob(f"{tmp_path}/[2024] texts/*.txt", "text")] == ["a.txt"]
    assert [p.name for p in expand_glob(f"{tmp_path}/[0-3] texts/*.txt", "text")] == ["b.txt"]
    assert SourceUri.parse(f"text:{tmp_path}/x?part=a.txt").place == f"{tmp_path}/x?part=a.txt"
    assert SourceUri.parse(f"text:{tmp_path}/y?part=a").place == f"{tmp_path}/y"


def test_copies_of_editors_are_listed(tmp_path):
    for name in ("thesis.tex~", "~", "a"):
        (tmp_path / name).write_text("")
    path = user_path(tmp_path)
    assert sorted(path.iterdir()) == [path / "a", path / "thesis.tex~", path / "~"]


def test_what_is_made_of_a_path_is_as_literal(tmp_path):
    (tmp_path / "[1]" / "a").mkdir(parents=True)
    path = pickle.loads(pickle.dumps(epath.Path(user_path(tmp_path / "[1]"))))
    assert [p.name for p in path.glob("*")] == ["a"]
    assert list((path / "a").parent.glob("a")) == [path / "a"]
    assert path == epath.Path(tmp_path / "[1]")


@pytest.mark.parametrize(
    "arguments",
    [
        "train --config=demo --workdir=", "inspect --workdir=", "doctor --workdir=", "study --config=x --workdir=",
        "export --to=jit --workdir=x --out=", "prepare --source=demo:text --out=", "data preview --config=demo --out=",
        "codec encode --text-file x --out=", "codec decode ", "tokenizer train --text x --vocab-size=260 --out=",
        "prepare --source=demo:text --out=x --tokenizer=",
    ],
)  # fmt: skip
def test_no_command_takes_an_empty_path(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([word or "" for word in arguments.split(" ")]) == 2
    assert "empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
