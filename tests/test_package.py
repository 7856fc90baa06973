"""The package as it is installed: complete, also if made from the source archive, and working outside the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from hatchling.build import build_sdist, build_wheel

ROOT = pathlib.Path(__file__).resolve().parent.parent
SMALL = (
    "model.depth=1",
    "model.width=16",
    "model.heads=1",
    "data.batch_size=8",
    "training.steps=1",
    "sampling.steps=1",
)


def tracked(*folders: str) -> set[str]:
    """What git has, less links."""
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return {name for name in listed.stdout.split("\0") if name and not (ROOT / name).is_symlink()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source archive, unpacked."""
    folder = tmp_path_factory.mktemp("archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build_sdist(str(folder))
    shutil.unpack_archive(folder / name, folder)  # not `tarfile` with a filter, which Python 3.11.2 of Debian 12 lacks
    return folder / name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(archive, tmp_path_factory):
    """The wheel that is made from the source archive."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(archive)
        return folder / build_wheel(str(folder))


def test_the_source_archive_has_what_it_takes_to_test_and_to_launch(archive):
    there = {str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file()}
    assert tracked() - tracked(".ci") <= there
    assert not any(name.startswith(("configs/", "runs/", ".venv/")) for name in there)


def test_the_wheel_has_every_file_of_the_package_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        entry_points = file.read("pixjax-0.1.0.dist-info/entry_points.txt").decode()
    assert tracked("pixjax") <= names
    assert {name.split("/")[0] for name in names} == {"pixjax", "pixjax-0.1.0.dist-info"}
    assert "pixjax = pixjax.cli:main" in entry_points


def test_the_installed_package_trains_and_samples_outside_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    train = ["train", "--config=demo", "--workdir=runs/demo", *(f"--config.{setting}" for setting in SMALL)]
    sample = ["sample", "--workdir=runs/demo", "--num=1", "--out=runs/samples"]
    script = (
        f"import pixjax, pixjax.cli\nassert pixjax.__file__.startswith({str(tmp_path)!r}), pixjax.__file__\n"
        f"assert pixjax.cli.main({train!r}) == 0\nassert pixjax.cli.main({sample!r}) == 0\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, cwd=tmp_path / "elsewhere", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"done: step 1 is saved in {tmp_path / 'elsewhere' / 'runs' / 'demo'}" in done.stderr
    assert (tmp_path / "elsewhere" / "runs" / "samples" / "grid.png").exists()
