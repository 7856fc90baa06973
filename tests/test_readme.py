"""Everything that the README says to type, typed: with smaller numbers, in an empty folder."""

import pathlib
import re
import shlex
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pixjax.cli import main

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

SMALLER = [
    "--config.model.depth=1",
    "--config.model.width=16",
    "--config.model.heads=1",
    "--config.model.patch_size=16",
    "--config.model.in_context_tokens=1",
    "--config.data.batch_size=2",
    "--config.training.steps=2",
    "--config.sampling.steps=2",
    "--config.evaluation.samples=2",
    "--config.evaluation.num_times=2",
    "--config.evaluation.batch_size=4",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line]


@pytest.fixture
def my_folder(tmp_path, monkeypatch):
    """What a reader has: a folder of texts and a folder of photos."""
    (tmp_path / "my" / "texts").mkdir(parents=True)
    (tmp_path / "my" / "photos").mkdir()
    (tmp_path / "my" / "texts" / "page.txt").write_text("A page of my own, 42 lines of it. " * 3, encoding="utf-8")
    (tmp_path / "my" / "held_out").mkdir()
    (tmp_path / "my" / "held_out" / "other.txt").write_text("Another page. " * 900, encoding="utf-8")
    for name, colour in (("red", (200, 10, 10)), ("blue", (10, 10, 200))):
        for folder in ("photos", "held_out"):
            Image.new("RGB", (90, 70), colour).save(tmp_path / "my" / folder / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_python_lines_do_what_the_readme_says(my_folder, capsys):
    typed = [command for command in commands() if command[0] == "pixjax"]
    assert {command[1] for command in typed} == {"data", "train", "sample", "evaluate", "inspect", "codec"}
    for _, *arguments in typed:
        takes_config = any(a.startswith("--config=") for a in arguments)
        assert main([*arguments, *(SMALLER if takes_config else [])]) == 0, arguments
    assert capsys.readouterr().out.endswith((my_folder / "my/texts/page.txt").read_text(encoding="utf-8"))
    assert (my_folder / "runs/mine/samples/grid.png").exists()
    assert (my_folder / "runs/mine/evaluation/report.html").exists()

    names = {"z": jnp.zeros((1, 64, 64, 3)), "t": jnp.array([0.5])}
    for block in blocks("python"):
        exec(block, names)
    assert names["x_hat"].shape == (1, 64, 64, 3)
    assert np.isfinite(names["x_hat"]).all()


def test_every_make_target_is_there_and_links_lead_somewhere():
    targets = {command[1] for command in commands() if command[0] == "make"}
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link


@pytest.mark.skipif(not (ROOT / ".venv/.installed").exists(), reason="make demo would install into .venv first")
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_demo_ends_with_text_and_a_contact_sheet(tmp_path):
    flags = " ".join([*SMALLER[:3], "--config.training.steps=2", "--config.sampling.steps=2"])
    make = ["make", "--no-print-directory", "demo", f"RUNS={tmp_path}", f"DEMO_FLAGS={flags}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sheet = tmp_path / "demo" / "samples" / "contact_sheet.png"
    assert f"contact sheet: {sheet}" in done.stdout
    assert Image.open(sheet).width > 9 * 128
