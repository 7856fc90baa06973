"""A run in a bucket that is killed, and whose store fails in every way there is, ends as a run on a disk does."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import Checkpoints, saved_steps
from pixjax.cli import main
from pixjax.errors import RunError
from pixjax.paths import user_path
from pixjax.training.log_files import GrowingObject
from pixjax.training.train import train

from .proxy import answer_lost, cut, slow, status


def run_in(bucket):
    return f"{bucket.address}/run"


def curve(workdir):
    """The logged lines, less what depends on the clock."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("canvases_per_second", "data/wait_share")} for line in lines]


def digests(workdir, step):
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.verify(step) == []
        return checkpoints.meta(step)["digests"]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory, tiny_config):
    workdir = epath.Path(tmp_path_factory.mktemp("disk"))
    train(tiny_config(), workdir)
    return workdir


@pytest.fixture(scope="module")
def in_bucket(bucket, tmp_path_factory, tiny_config):
    """Killed outright in the midst of its second save, and continued past all kinds of faults."""
    proxy, folder = bucket.proxy, tmp_path_factory.mktemp("killed")
    values = tiny_config().to_dict()
    (folder / "tiny.py").write_text(
        f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n"
    )
    config, workdir = f"--config={folder / 'tiny.py'}", f"--workdir={run_in(bucket)}"
    command = [sys.executable, "-m", "pixjax", "train", config, workdir]
    with open(folder / "stderr", "w+") as said:
        run = subprocess.Popen(command, cwd=folder, env=os.environ, stderr=said)
        killed = proxy.add(lambda *_: bool(run.kill()), method=bucket.put, matches="run/checkpoints/6/params/")
        run.wait(timeout=400)
        said.seek(0)
        assert killed.came == 1, said.read()
    assert not (folder / bucket.address.partition("//")[0]).exists()
    workdir = user_path(run_in(bucket))
    assert saved_steps(workdir) == [3]
    assert [line["step"] for line in curve(workdir)][:3] == [1, 2, 3]  # nothing is behind the checkpoint

    lock = json.loads((workdir / "lock.json").read_bytes())
    refused = proxy.add(bucket.refused, times=99, matches=bucket.read_first)
    with pytest.raises(RunError, match=rf"checkpoint 3 in {run_in(bucket)} could not be read .*nothing was changed"):
        train(tiny_config(), workdir)
    refused.times = 0
    assert saved_steps(workdir) == [3]
    assert lock["process"] == run.pid

    in_save = {"method": bucket.put, "times": 2}
    faults = [
        proxy.add(status(503, "backend"), times=2, matches="run/checkpoints/3/ema"),
        proxy.add(status(429, "slow down"), **in_save, matches="run/checkpoints/6/params"),
        proxy.add(cut, **in_save, matches="run/checkpoints/6/opt_state"),
        proxy.add(slow(1.0), **in_save, matches="run/checkpoints/6/ema_0.9"),
        proxy.add(answer_lost, method=bucket.put, matches="run/checkpoints/6/ema_0.5"),
        proxy.add(status(401, "Invalid Credentials"), method=bucket.put, matches="run/checkpoints/6/opt_state"),
        proxy.add(status(503, "backend"), **in_save, matches=bucket.lock_put),
    ]
    before = proxy.requests
    assert train(tiny_config(), workdir)
    print("requests", proxy.requests - before)
    assert [fault.came for fault in faults] == [fault.times for fault in faults]
    return workdir


def test_it_ends_with_the_same_parameters_and_curve(bucket, on_disk, in_bucket):
    assert saved_steps(in_bucket) == saved_steps(on_disk)
    assert digests(in_bucket, 6) == digests(on_disk, 6)
    assert curve(in_bucket) == curve(on_disk)
    assert f"done: step 6 is saved in {run_in(bucket)}" in (in_bucket / "log.txt").read_text()
    assert not (in_bucket / "lock.json").exists()
    (events, *_) = [path.read_bytes() for path in (in_bucket / "tensorboard").iterdir()]
    assert events.count(b"loss/text") >= 1


def test_every_command_takes_it(bucket, on_disk, in_bucket, tmp_path, capsys):
    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    assert "checkpoint 6: as it was written" in run("inspect", f"--workdir={in_bucket}", "--verify")
    for place, workdir in (("bucket", in_bucket), ("disk", on_disk)):
        run("sample", f"--workdir={workdir}", "--num=2", "--modality=any", f"--out={tmp_path / place}")
    drawn, expected = (
        {p.name: p.read_bytes() for p in (tmp_path / place).glob("*.png")} for place in ("bucket", "disk")
    )
    assert drawn
    assert drawn == expected
    shared = f"{bucket.address}/shared"
    run("export", "--to=workdir", f"--workdir={in_bucket}", f"--out={shared}")
    run("inspect", f"--workdir={shared}", "--verify")
    run("sample", f"--workdir={shared}", "--num=1", "--modality=text", f"--out={tmp_path / 'shared'}")


def test_it_can_be_started_from(bucket, in_bucket, on_disk, tiny_config, tmp_path, monkeypatch):
    """`init_from` in a bucket; and lines come seldom, but before a checkpoint and at the end they all come."""
    monkeypatch.setattr(GrowingObject, "EVERY", 1e9)
    one = {"steps": 1, "checkpoint_every": 1}
    tuned = user_path(f"{bucket.address}/tuned")
    train(tiny_config(training={**one, "init_from": str(in_bucket)}), tuned)
    train(tiny_config(training={**one, "init_from": str(on_disk)}), epath.Path(tmp_path / "tuned"))
    assert digests(tuned, 1) == digests(epath.Path(tmp_path / "tuned"), 1)
    assert curve(tuned) == curve(epath.Path(tmp_path / "tuned"))


def test_a_workdir_can_be_copied_between_disks_and_stores(bucket, on_disk, in_bucket, tmp_path):
    copied = user_path(f"{bucket.address}/copied")
    here = pathlib.Path(on_disk)
    for path in here.rglob("*"):
        if path.is_file():
            (copied / str(path.relative_to(here))).write_bytes(path.read_bytes())
    for name in in_bucket.files_below():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (in_bucket / name).download(epath.Path(tmp_path / name))
    assert digests(copied, 6) == digests(user_path(tmp_path), 6) == digests(on_disk, 6)


def test_what_is_damaged_is_found_and_set_aside(bucket, tiny_config):
    """An array that is cut short, and one that is gone."""
    workdir, config = user_path(f"{bucket.address}/damaged"), tiny_config(training={"steps": 2, "checkpoint_every": 1})
    train(config, workdir)
    expected = digests(workdir, 2)
    folder = workdir / "checkpoints" / "2" / "params"
    biggest = max(folder.files_below(), key=lambda name: len((folder / name).read_bytes()))
    content = (folder / biggest).read_bytes()
    with Checkpoints(workdir) as checkpoints:
        (folder / biggest).write_bytes(content[: len(content) // 2])
        assert len(checkpoints.verify(2)) == 1
        (folder / biggest).unlink()
        assert len(checkpoints.verify(2)) == 1
    train(config, workdir)
    assert digests(workdir, 2) == expected
    assert biggest not in (workdir / "damaged" / "2" / "params").files_below()
    assert (workdir / "damaged" / "2" / "commit_success.txt").exists()
