"""`pixjax sample` as it is typed: what it writes, on any devices, and what it refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pixjax.cli import main
from pixjax.commands.sample import shown_texts


@pytest.fixture(scope="module")
def sampled(workdir, tmp_path_factory):
    """Three texts filled in, with the way that they came about."""
    out = tmp_path_factory.mktemp("sampled")
    how = ["--steps=6", "--sampler=stochastic", "--churn=0.5", "--grid=log_snr,uniform", "--project=0.8", "--repeats=2"]
    what = ["--infill=the ____ sat", "--trajectory=5,0,2", "--num=3", "--seed=5"]
    assert main(["sample", f"--workdir={workdir}", f"--out={out}", *what, *how]) == 0
    return out, [*what, *how]


def test_a_text_is_filled_in_and_the_way_to_it_is_shown(sampled):
    out, _ = sampled
    rows = [json.loads(line) for line in (out / "text.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        assert row["modality"] == "text"
        assert row["text"].startswith("the ")
        assert row["text"][8:12] == " sat"
    strip = Image.open(out / "trajectory.png")
    assert strip.size == (3 * (128 + 6) + 6, 3 * (128 + 6) + 6 + 16)  # a row a canvas, a column a step
    animation = Image.open(out / "trajectory.gif")
    assert animation.n_frames == 3
    assert animation.info["loop"] == 0


def test_two_devices_make_what_one_makes(sampled, workdir, tmp_path):
    """Three canvases, which do not divide over them."""
    out, arguments = sampled
    command = [sys.executable, "-m", "pixjax", "sample", f"--workdir={workdir}", f"--out={tmp_path}", *arguments]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for number in range(3):
        one, two = (np.asarray(Image.open(f / "canvases" / f"{number:04d}.png"), int) for f in (out, tmp_path))
        assert np.abs(one - two).max() <= 1


def test_the_beginnings_of_a_few_texts_are_printed_and_the_file_has_them_all(workdir, tmp_path, capsys):
    infill = "--infill=" + "word " * 40 + "_"
    assert main(["sample", f"--workdir={workdir}", f"--out={tmp_path}", infill, "--steps=1", "--num=6"]) == 0
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "text.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in rows]
    assert len(texts) == 6
    assert said.count("--- text canvas") == 4
    assert f"\n{texts[0][:160]}…\n" in said
    assert f"all 6 text(s), whole: {tmp_path / 'text.jsonl'}" in said
    whole, rest = shown_texts(rows, 1, tmp_path)  # --show=1
    assert whole.endswith(f"\n{texts[0]}")
    assert "text.jsonl" in rest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--show=-1"], "--show=-1 has to be 0 or more texts"),
        (["--sampler=ddim"], "sampling.sampler='ddim' is unknown: choose one of heun, euler, dpm++, stochastic"),
        (["--steps=0"], "sampling.steps=0 has to be positive"),
        (["--grid=uniform,linear"], "grid 'linear' is unknown"),
        (["--guidance=2"], "needs a condition, and this model has none"),
        (["--guidance-interval=0.5"], "is no interval of time: give two, ascending"),
        (["--guidance-interval=a,b"], "write 0.1,0.9"),
        (["--trajectory=first"], "names no steps: write for instance 0,10,1"),
        (["--trajectory=9"], "step 9 is not one of the 2 steps"),
        (["--infill=" + "x" * 300], "the text to fill in has 300 tokens, blanks included, and a canvas 255"),
        (
            ["--infill=a_b", "--modality=image"],
            "--modality=image is not that of what is filled in: leave it out",
        ),
        (["--infill-image=a.png"], "--infill-image and --mask go together"),
        (["--infill-image=a.png", "--mask=b.png", "--infill=a_b"], "give one of them"),
        (["--infill-image=no.png", "--mask=no.png"], "no.png: No such file or directory"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(workdir, arguments, message, capsys, tmp_path):
    assert main(["sample", f"--workdir={workdir}", f"--out={tmp_path / 'out'}", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_image_is_filled_in_around_what_is_kept(workdir, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    files = [f"--infill-image={tmp_path / 'image.png'}", f"--mask={tmp_path / 'mask.png'}"]
    assert main(["sample", f"--workdir={workdir}", f"--out={tmp_path}", "--num=1", "--steps=2", *files]) == 0
    made = np.asarray(Image.open(tmp_path / "images" / "0000.png"))
    kept = mask == 0
    kept[0, 0] = False  # the marker says image, whatever the picture shows there
    np.testing.assert_array_equal(made[kept], pixels[kept])
    np.testing.assert_array_equal(made[0, 0], 255)
    assert (made[mask > 0] != pixels[mask > 0]).any()
