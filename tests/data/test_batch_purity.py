"""The global batch of a step is the same bytes, however it is made."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, ModelConfig, TrainingConfig
from pixjax.data import make_batches, open_source
from pixjax.errors import InputError

FIELDS = {"canvas", "modality", "label", "loss_mask", "skipped"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Text in several documents, and pictures of several shapes of which one in twelve is broken."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    for name in "abc":
        (folder / f"{name}.txt").write_text("".join(rng.choice(list("etaoin shrdlu\n"), 2500)))
    for label in ("cats", "dogs"):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (int(rng.integers(16, 40)), 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / label / f"{number}.png")
        (folder / "pictures" / label / "3.png").write_bytes(b"broken")
    return (f"text:{folder}/*.txt", f"images:{folder}/pictures", "demo:images")


def make_config(sources, *, batch_size=12, workers=0, seed=3, **data):
    return Config(
        model=ModelConfig(canvas_size=16),
        codec=CodecConfig(layout="patch"),
        data=DataConfig(sources=sources, batch_size=batch_size, workers=workers, max_bad_fraction=0.2, **data),
        training=TrainingConfig(seed=seed),
    )


def digest(batch) -> str:
    return hashlib.sha256(b"".join(batch[name].tobytes() for name in sorted(FIELDS))).hexdigest()


def take(config, steps, **options):
    with make_batches(config, CanvasCodec(**config.codec_arguments()), **options) as batches:
        return [next(batches) for _ in range(steps)]


def test_a_batch_has_the_promised_fields(sources):
    batch, *_ = take(make_config(sources), 1)
    assert {name: (field.dtype.name, field.shape) for name, field in batch.items()} == {
        "canvas": ("uint8", (12, 16, 16, 3)),
        "modality": ("int32", (12,)),
        "label": ("int32", (12,)),
        "loss_mask": ("bool", (12, 16, 16)),
        "skipped": ("int32", (12, 5)),
    }
    text, image = (batch["modality"] == TEXT), (batch["modality"] == IMAGE)
    assert (text.sum(), image.sum()) == (6, 6)
    assert (batch["label"][text] == -1).all()
    assert (batch["label"][image] >= 0).all()
    assert (batch["canvas"][text, 0, 0] == 0).all()
    assert (batch["canvas"][image, 0, 0] == 255).all()
    assert batch["loss_mask"][image].all()


@pytest.mark.parametrize("hosts", [2, 3, 4])
def test_the_shares_of_any_number_of_hosts_make_up_the_same_batches(sources, hosts):
    config = make_config(sources)
    whole = take(config, 5)
    shares = [take(config, 5, shard_index=host, shard_count=hosts) for host in range(hosts)]
    for step, batch in enumerate(whole):
        together = {name: np.concatenate([share[step][name] for share in shares]) for name in FIELDS}
        assert digest(together) == digest(batch)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_makes_the_same_batches(sources, workers):
    here = take(make_config(sources), 6)
    there = take(make_config(sources, workers=workers), 6)
    assert [digest(batch) for batch in there] == [digest(batch) for batch in here]


def test_a_state_is_the_same_on_every_host_and_goes_on_on_any_other(sources):
    config = make_config(sources)
    codec = CanvasCodec(**config.codec_arguments())
    whole = [digest(batch) for batch in take(config, 8)]
    states = []
    for host in range(2):
        with make_batches(config, codec, shard_index=host, shard_count=2) as batches:
            for _ in range(5):
                next(batches)
            states.append(json.loads(json.dumps(batches.get_state())))
    contents = [[source.pop("content") for source in state["sources"].values()] for state in states]
    assert contents[0] == contents[1]
    assert len(set(contents[0])) == 3
    of_this_host = {"skipped", "bad_records"}
    photographs = open_source("demo:images", canvas_size=16)
    assert [{k: v for k, v in state.items() if k not in of_this_host} for state in states] == [
        {
            "next_step": 5,
            "sources": {
                sources[0]: {"records": 30, "tokens": 7503},
                sources[1]: {"records": 24},
                sources[2]: {"records": len(photographs)},
            },
            "classes": [None, ["cats", "dogs"], list(photographs.class_names)],
        }
    ] * 2
    with make_batches(config, codec) as batches:
        next(batches)
        batches.set_state(states[0])
        assert [digest(next(batches)) for _ in range(3)] == whole[5:]


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("d.txt", r"^text:.*\*\.txt has .* tokens and had 7,503 when the run was saved.*put its files back"),
        ("pictures/cats/new.png", r"^images:.*pictures has 25 records and had 24 when the run was saved"),
    ],
)
def test_a_source_that_changed_is_named_before_a_run_goes_on(sources, tmp_path, added, message):
    shutil.copytree(sources[1].removeprefix("images:") + "/..", tmp_path, dirs_exist_ok=True)
    config = make_config((f"text:{tmp_path}/*.txt", f"images:{tmp_path}/pictures"))
    codec = CanvasCodec(**config.codec_arguments())
    with make_batches(config, codec) as batches:
        state = json.loads(json.dumps(batches.get_state()))
    shutil.copy(tmp_path / ("a.txt" if added.endswith("txt") else "pictures/cats/0.png"), tmp_path / added)
    with make_batches(config, codec) as batches:
        with pytest.raises(InputError, match=message) as caught:
            batches.set_state(state)
        assert "\n" not in str(caught.value)
        batches.set_state({"next_step": 7})  # as states were when they had no sizes
        assert batches.step == 7


def test_a_state_of_other_sources_is_refused(sources):
    states = []
    for some in (sources, sources[:2]):
        config = make_config(some)
        with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
            states.append(batches.get_state())
            if len(states) == 2:
                with pytest.raises(InputError, match="demo:images was a source and is none now"):
                    batches.set_state(states[0])
    config = make_config(sources)
    with (
        make_batches(config, CanvasCodec(**config.codec_arguments())) as batches,
        pytest.raises(InputError, match="demo:images is a source and was none of the run"),
    ):
        batches.set_state(states[1])


def test_a_position_holds_the_same_record_at_any_batch_size(sources):
    small, large = (take(make_config(sources, batch_size=size), 24 // size) for size in (6, 24))
    together = {name: np.concatenate([batch[name] for batch in small]) for name in FIELDS}
    assert digest(together) == digest(large[0])


def test_seeds_and_steps_differ(sources):
    first, second = take(make_config(sources), 2)
    other, *_ = take(make_config(sources, seed=4), 1)
    assert len({digest(batch) for batch in (first, second, other)}) == 3


def test_each_epoch_shows_every_picture_once_in_a_new_order(tmp_path):
    for number in range(10):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / f"{number}.png")
    config = make_config((f"images:{tmp_path}",), batch_size=10)
    epochs = [batch["canvas"][:, 8, 8, 0].tolist() for batch in take(config, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_crops_and_flips_differ_from_epoch_to_epoch(tmp_path):
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None], (16, 40, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    (left, right) = (
        np.array([batch["canvas"][:, 8, [1, -2], 0] for batch in take(make_config((f"images:{tmp_path}",)), 20)])
        .reshape(-1, 2)
        .T.astype(int)
    )
    assert 0.4 < (left > right).mean() < 0.6  # mirrored
    assert set(np.minimum(left, right) - 1) == set(range(25))  # from one end to the other
    unflipped = take(make_config((f"images:{tmp_path}",), flip=False), 5)
    assert all((batch["canvas"][:, 8, 1, 0] < batch["canvas"][:, 8, -2, 0]).all() for batch in unflipped)


RUN = """
import hashlib, json, os, signal, sys
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches, open_source
from pixjax.errors import InputError

if __name__ == "__main__":
    config = Config.from_dict(json.loads(sys.argv[1]))
    state_file, steps, stays = sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        try:
            batches.set_state(json.load(open(state_file)))
        except FileNotFoundError:
            pass
        for _ in range(steps):
            step, batch = batches.step, next(batches)
            data = b"".join(batch[name].tobytes() for name in sorted(batch))
            print(step, hashlib.sha256(data).hexdigest(), flush=True)
            if batches.step % 4 == 0:
                with open(state_file + ".new", "w") as file:
                    json.dump(batches.get_state(), file)
                os.replace(state_file + ".new", state_file)
        if stays:
            signal.pause()
"""


def start(config, state_file, steps, tmp_path, *stays):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, script, json.dumps(config.to_dict()), str(state_file), str(steps), *stays]
    root = str(pathlib.Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def children(pid: int) -> set[int]:
    of_threads = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for listed in of_threads for child in listed.read_text().split()}


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_killed_between_checkpoints_goes_on_with_the_same_bytes(sources, tmp_path):
    whole = [digest(batch) for batch in take(make_config(sources), 12)]
    state_file = tmp_path / "state.json"
    run = start(make_config(sources, workers=2), state_file, 7, tmp_path, "and stays until it is killed")
    seen = {}
    while len(seen) < 7:  # a state was written at 4
        step, value = run.stdout.readline().split()
        seen[int(step)] = value
    workers = children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=300)
    assert [seen[step] for step in range(7)] == whole[:7]

    deadline = time.monotonic() + 240
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, workers)), "workers outlive the process they worked for"

    resumed = start(make_config(sources), state_file, 6, tmp_path)
    lines = [line.split() for line in resumed.communicate(timeout=300)[0].splitlines()]
    first = int(lines[0][0])
    assert first % 4 == 0
    assert first >= 4
    expected = [digest(b) for b in take(make_config(sources), first + 6)][first:]
    assert [value for _, value in lines] == expected


@pytest.mark.parametrize(
    ("signal_number", "moment"),
    [(signal.SIGINT, "starting"), (signal.SIGINT, "running"), (signal.SIGTERM, "running")],
)
def test_a_signal_to_all_processes_ends_them_without_a_word(sources, tmp_path, signal_number, moment):
    run = start(make_config(sources, workers=2), tmp_path / "state.json", 1_000_000, tmp_path)
    if moment == "running":
        run.stdout.readline()
    deadline = time.monotonic() + 240
    while len(workers := children(run.pid)) < 3 and time.monotonic() < deadline:  # two, and their resource tracker
        time.sleep(0.02)
    os.killpg(run.pid, signal_number)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 5}[signal_number]
    assert [line for line in errors.splitlines() if "pixjax.data" not in line] == []
    deadline = time.monotonic() + 240
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))
