"""Files of a workdir that are changed, shortened or gone: none is used in silence."""

import contextlib
import gc
import json
import os
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
import zstandard
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.digests import digests, digests_on_devices, digests_on_host
from pixjax.checkpoints.load import load
from pixjax.cli import main
from pixjax.errors import RunError
from pixjax.training.train import train


@pytest.fixture(scope="module")
def original(tmp_path_factory, tiny_config):
    """A run of six steps with checkpoints at 3 and 6."""
    workdir = epath.Path(tmp_path_factory.mktemp("original"))
    train(tiny_config(), workdir)
    return workdir


@pytest.fixture
def workdir(original, tmp_path):
    shutil.copytree(original, tmp_path / "run")
    return epath.Path(tmp_path / "run")


def longest_array(item) -> tuple[pathlib.Path, int, int]:
    """The file of a saved item, and where in it the longest compressed array begins and ends.

    Other bytes may mean nothing: names of a tree that is not read, or nodes that were written anew.
    """
    frames = []
    for path in pathlib.Path(item).rglob("d/*"):
        content = path.read_bytes()
        for found in re.finditer(re.escape(zstandard.FRAME_HEADER), content):
            reader = zstandard.ZstdDecompressor().decompressobj()
            with contextlib.suppress(zstandard.ZstdError):
                reader.decompress(content[found.start() :])
                length = len(content) - found.start() - len(reader.unused_data)
                frames.append((length, path, found.start()))
    length, path, start = max(frames)
    assert length > 1000
    return path, start, start + length


def flip(item, place: float) -> None:
    """Changes one bit, at a share of the item's longest array."""
    path, start, end = longest_array(item)
    content = bytearray(path.read_bytes())
    content[int(start + place * (end - start))] ^= 0x10
    path.write_bytes(bytes(content))


def assert_same_params(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("item", ["params", "ema_0.9", "opt_state"])
@pytest.mark.parametrize("place", [0.3, 0.7])
def test_a_flipped_bit_in_arrays_is_found_and_its_item_named(workdir, item, place, capsys):
    flip(workdir / "checkpoints" / "6" / item, place)
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 1
    said = capsys.readouterr().out
    assert f"checkpoints/6/{item}" in said
    assert "checkpoint 3: as it was written" in said


def test_evaluation_refuses_what_a_bit_was_flipped_in(workdir):
    flip(workdir / "checkpoints" / "6" / "ema_0.9", 0.5)
    with pytest.raises(RunError, match=r"checkpoint 6 in .* is damaged .*: pixjax train falls back"):
        load(workdir)
    assert load(workdir, step=3).step == 3


@pytest.mark.parametrize("name", ["data", "config", "codec", "meta"])
def test_a_digit_changed_in_a_json_item_is_found(workdir, name, capsys):
    path = workdir / "checkpoints" / "6" / name / "metadata"
    text = path.read_text()
    digit = next(i for i in range(len(text) // 3, len(text)) if text[i] in "12345678")
    path.write_text(text[:digit] + str(int(text[digit]) + 1) + text[digit + 1 :])
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 1
    assert f"checkpoints/6/{name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["config.json", "data.json", "codec/codec.json", "sha256.json"])
def test_a_changed_file_of_the_workdir_is_named_and_the_next_start_mends_it(workdir, name, tiny_config, capsys):
    text = (workdir / name).read_text()
    digit = next(i for i in range(len(text) // 2, len(text)) if text[i] in "12345678")
    (workdir / name).write_text(text[:digit] + str(int(text[digit]) + 1) + text[digit + 1 :])
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 1
    assert f"{workdir}/" in capsys.readouterr().out
    with pytest.raises(RunError, match=r"damaged|missing"):
        load(workdir)
    train(tiny_config(training={"steps": 7}), workdir)
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0
    assert load(workdir).step == 7


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_training_falls_back_to_the_newest_whole_checkpoint_and_says_so(workdir, original, harm, tiny_config, capsys):
    item = workdir / "checkpoints" / "6" / "opt_state"
    file, *_ = longest_array(item)
    if harm == "flip":
        flip(item, 0.5)
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        file.unlink()
    train(tiny_config(), workdir)
    said = capsys.readouterr().err
    assert "checkpoint 6" in said
    assert "is damaged" in said
    assert "continuing at step 3" in said
    assert (workdir / "damaged" / "6").exists()
    assert_same_params(load(workdir).params, load(original).params)


def test_a_run_without_a_whole_checkpoint_stops_and_keeps_what_there_is(workdir, tiny_config):
    for step in ("3", "6"):
        flip(workdir / "checkpoints" / step / "params", 0.5)
    with pytest.raises(RunError, match="no whole checkpoint is left"):
        train(tiny_config(), workdir)
    assert saved_steps(workdir) == [3, 6]  # the reason may lie elsewhere: in the disk, or in a library
    assert not (workdir / "damaged").exists()


@pytest.mark.parametrize("harm", [pathlib.Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)])
def test_damaged_arrays_are_told_in_one_line_and_by_nothing_else(workdir, harm, capfd, caplog):
    """Many arrays fail at once, and what is told of each reaches stderr from threads of other libraries."""
    for item in "params", "ema_0.9":
        for path in pathlib.Path(workdir).glob(f"checkpoints/6/{item}/ocdbt.process_0/d/*"):
            harm(path)
    for command in ["inspect", "--verify"], ["sample", "--num=1", f"--out={workdir}/samples"]:
        assert main([*command, f"--workdir={workdir}"]) != 0
        gc.collect()  # errors that nobody asked for are told when their tasks are collected
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert len([line for line in (out + err).splitlines() if "is damaged" in line]) == 1
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_every_single_bit_and_every_exchange_changes_the_digest():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    reference = digests_on_host({"x": values})["x"]
    for made in (digests, digests_on_devices):
        assert made({"x": jax.numpy.asarray(values)})["x"] == reference
    seen = set()
    for place in range(values.size):
        for bit in range(32):
            changed = values.copy()
            changed.view(np.uint32).reshape(-1)[place] ^= np.uint32(1 << bit)
            seen.add(digests_on_host({"x": changed})["x"])
    assert reference not in seen
    assert digests_on_host({"x": values[::-1]})["x"] != reference


def test_a_checkpoint_says_what_wrote_it(original):
    stored = json.loads((original / "checkpoints" / "6" / "meta" / "metadata").read_text())["content"]
    assert stored["versions"]["jax"] == jax.__version__
    assert stored["trees"]["params"]["blocks/attention/qkv/kernel"] == "float32[2,32,96]"
    assert stored["step"] == 6
