"""A run in a bucket that is killed, and whose store fails in every way there is, ends as a run on a disk does."""

import json
import os
import subprocess
import sys

import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import Checkpoints, saved_steps
from pixjax.cli import main
from pixjax.errors import RunError
from pixjax.paths import user_path
from pixjax.training import growing_object
from pixjax.training.train import train

from .proxy import answer_lost, cut, slow, status

RUN = "gs://bucket/run"


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
def in_bucket(gcs, tmp_path_factory, tiny_config):
    """Killed outright in the midst of its second save, and continued past all kinds of faults."""
    folder = tmp_path_factory.mktemp("killed")
    values = tiny_config().to_dict()
    (folder / "tiny.py").write_text(
        f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n"
    )
    command = [sys.executable, "-m", "pixjax.cli", "train", f"--config={folder / 'tiny.py'}", f"--workdir={RUN}"]
    with open(folder / "stderr", "w+") as said:
        run = subprocess.Popen(command, cwd=folder, env=os.environ, stderr=said)
        killed = gcs.add(lambda *_: bool(run.kill()), method="POST", matches="run/checkpoints/6/params/")
        run.wait(timeout=400)
        said.seek(0)
        assert killed.came == 1, said.read()
    assert not (folder / "gs:").exists()
    workdir = user_path(RUN)
    assert saved_steps(workdir) == [3]
    assert [line["step"] for line in curve(workdir)][:3] == [1, 2, 3]  # nothing is behind the checkpoint

    lock = json.loads((workdir / "lock.json").read_bytes())
    refused = gcs.add(status(403, "no access"), times=99, matches="run/checkpoints/3/params/manifest.ocdbt")
    with pytest.raises(RunError, match=r"checkpoint 3 in gs://bucket/run could not be read .*nothing was changed"):
        train(tiny_config(), workdir)
    refused.times = 0
    assert saved_steps(workdir) == [3]
    assert lock["process"] == run.pid

    faults = [
        gcs.add(status(503, "backend"), times=2, matches="run/checkpoints/3/ema"),
        gcs.add(status(429, "slow down"), times=2, method="POST", matches="run/checkpoints/6/params"),
        gcs.add(cut, times=2, method="POST", matches="run/checkpoints/6/opt_state"),
        gcs.add(slow(1.0), times=2, method="POST", matches="run/checkpoints/6/ema_0.9"),
        gcs.add(answer_lost, times=1, method="POST", matches="run/checkpoints/6/ema_0.5"),
        gcs.add(status(401, "Invalid Credentials"), times=1, method="POST", matches="run/checkpoints/6/opt_state"),
        gcs.add(status(503, "backend"), times=2, method="POST", matches="/upload/storage/v1/b/bucket/o?uploadType=m"),
    ]
    before = gcs.requests
    assert train(tiny_config(), workdir)
    print("requests", gcs.requests - before)
    assert [fault.came for fault in faults] == [fault.times for fault in faults]
    return workdir


def test_it_ends_with_the_same_parameters_and_curve(on_disk, in_bucket):
    assert saved_steps(in_bucket) == saved_steps(on_disk)
    assert digests(in_bucket, 6) == digests(on_disk, 6)
    assert curve(in_bucket) == curve(on_disk)
    assert "done: step 6 is saved in gs://bucket/run" in (in_bucket / "log.txt").read_text()
    assert not (in_bucket / "lock.json").exists()
    (events, *_) = [path.read_bytes() for path in (in_bucket / "tensorboard").iterdir()]
    assert events.count(b"loss/text") >= 1


def test_every_command_takes_it(on_disk, in_bucket, tmp_path, capsys):
    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    assert "checkpoint 6: as it was written" in run("inspect", f"--workdir={RUN}", "--verify")
    for place, workdir in (("bucket", in_bucket), ("disk", on_disk)):
        run("sample", f"--workdir={workdir}", "--num=2", "--modality=any", f"--out={tmp_path / place}")
    drawn, expected = (
        {p.name: p.read_bytes() for p in (tmp_path / place).glob("*.png")} for place in ("bucket", "disk")
    )
    assert drawn
    assert drawn == expected
    run("export", "--to=workdir", f"--workdir={RUN}", "--out=gs://bucket/shared")
    run("inspect", "--workdir=gs://bucket/shared", "--verify")
    run("sample", "--workdir=gs://bucket/shared", "--num=1", "--modality=text", f"--out={tmp_path / 'shared'}")


def test_it_can_be_started_from(in_bucket, on_disk, tiny_config, tmp_path, monkeypatch):
    """`init_from` in a bucket; and lines come seldom, but before a checkpoint and at the end they all come."""
    monkeypatch.setattr(growing_object.GrowingObject, "EVERY", 1e9)
    one = {"steps": 1, "checkpoint_every": 1}
    train(tiny_config(training={**one, "init_from": RUN}), user_path("gs://bucket/tuned"))
    train(tiny_config(training={**one, "init_from": str(on_disk)}), epath.Path(tmp_path / "tuned"))
    assert digests(user_path("gs://bucket/tuned"), 1) == digests(epath.Path(tmp_path / "tuned"), 1)
    assert curve(user_path("gs://bucket/tuned")) == curve(epath.Path(tmp_path / "tuned"))
