"""What README, `docs/your_data.md` and `docs/concepts.md` say to type, typed: smaller, and in an empty folder.

But for `estimate`, which is parsed (`tests/docs`) and run with a smaller config (`tests/planning`).
"""

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
from pixjax.planning import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ("docs/your_data.md", "README.md", "docs/concepts.md")

SMALLER = [
    "--config.model.depth=1",
    "--config.model.width=16",
    "--config.model.heads=1",
    "--config.model.bottleneck=16",
    "--config.model.cell_layers=1",
    "--config.model.cell_width=16",
    "--config.model.cell_reach=1",
    "--config.model.canvas_size=32",
    "--config.model.patch_size=16",
    "--config.model.in_context_tokens=1",
    "--config.data.batch_size=8",
    "--config.training.steps=2",
    "--config.training.optimizer=adamw",
    "--config.sampling.steps=2",
    "--config.evaluation.num_times=2",
    "--config.evaluation.batch_size=4",
]
FEWER = {"--num-canvases": "2", "--num-times": "2", "--num-samples": "2", "--num": "4"}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[tuple[str, ...]]:
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [tuple(shlex.split(line)) for line in lines if line]


def smaller(words: tuple[str, ...]) -> list[str]:
    named = [word.split("=")[0] for word in words]
    fewer = [f"{n}={FEWER[n]}" if n in FEWER else word for n, word in zip(named, words, strict=True)]
    smaller = SMALLER if "--config" in named else []
    if any(word.endswith("init_from=pretrained:small") for word in words):  # whose model has its size
        smaller = [flag for flag in SMALLER if not flag.startswith("--config.model.")]
    return [*fewer, *smaller]


@pytest.fixture
def my_folder(tmp_path, monkeypatch):
    """What a reader has: a folder of texts and a folder of photos."""
    (tmp_path / "my" / "texts").mkdir(parents=True)
    (tmp_path / "my" / "photos").mkdir()
    (tmp_path / "my" / "texts" / "page.txt").write_text("A page of my own, 42 lines of it. " * 3, encoding="utf-8")
    (tmp_path / "my" / "held_out").mkdir()
    (tmp_path / "my" / "held_out" / "other.txt").write_text("Another page. " * 300, encoding="utf-8")
    for name, colour in (("red", (200, 10, 10)), ("blue", (10, 10, 200))):
        for folder in ("photos", "held_out"):
            Image.new("RGB", (90, 70), colour).save(tmp_path / "my" / folder / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_python_lines_do_what_the_pages_say(my_folder, capsys, monkeypatch):
    monkeypatch.setattr(machine, "matmul_flops", lambda dtype: 1e11)  # what takes the doctor seconds to measure
    monkeypatch.setattr(machine, "memory_bandwidth", lambda: 1e10)
    monkeypatch.setattr(machine, "_LOADER_SECONDS", 0.1)
    typed = dict.fromkeys(c[1:] for page in PAGES for c in commands(page) if c[0] == "pixjax")  # each once
    told = {"data", "prepare", "doctor", "train", "sample", "evaluate", "estimate", "codec"}
    assert {words[0] for words in typed} == told
    for words in typed:
        if words[0] != "estimate":  # compiles for seconds what tests/planning compiles
            assert main(smaller(words)) == 0, words
    assert capsys.readouterr().out.endswith((my_folder / "my/texts/page.txt").read_text(encoding="utf-8"))
    assert (my_folder / "runs/mine/samples/grid.png").exists()
    assert (my_folder / "runs/mine/evaluation/report.html").exists()

    names = {"z": jnp.zeros((1, 32, 32, 3)), "t": jnp.array([0.5])}
    for block in [*blocks("README.md", "python"), *blocks("docs/your_data.md", "python")]:
        exec(block, names)
    assert names["x_hat"].shape == (1, 32, 32, 3)
    assert np.isfinite(names["x_hat"]).all()


@pytest.mark.skipif(not (ROOT / ".venv/.installed").exists(), reason="make demo would install into .venv first")
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_demo_prints_little_text_and_ends_with_the_pictures_to_open(tmp_path):
    runs = tmp_path / "my runs"
    make = ["make", "--no-print-directory", "demo", f"RUNS={runs}", f"DEMO_FLAGS={' '.join(SMALLER)}", "STEPS=2"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    samples = runs / "demo" / "samples"
    assert done.stdout.splitlines()[-2:] == [str(samples / "grid.png"), str(samples / "contact_sheet.png")]
    assert (runs / "demo" / "pretrained" / "grid.png").exists()
    assert Image.open(samples / "contact_sheet.png").width > 9 * 128
    assert done.stdout.count("--- text canvas") <= 2 * 4
    # The commands, and what two runs say, wherever it is that they write to.
    assert len(done.stdout.replace(str(tmp_path), "")) < 2 * 4 * (160 + 60) + 2000
