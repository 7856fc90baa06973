"""What cannot be decoded is passed over, replaced by the same record each time, counted and named."""

import dataclasses
import json
import logging
import os
import signal

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, CanvasCodec
from pixjax.config import Config, DataConfig, ModelConfig
from pixjax.data import CAUSES, make_batches
from pixjax.data.batch_plan import make_plan
from pixjax.data.batches import BatchIterator
from pixjax.errors import InputError, RunError


def make_config(folder, **data):
    return Config(
        model=ModelConfig(canvas_size=16),
        data=DataConfig(sources=(f"images:{folder}",), **{"batch_size": 20, "flip": False, **data}),
    )


def open_batches(config):
    return make_batches(config, CanvasCodec(**config.codec_arguments()))


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures, each of one grey; two are broken, each in its way."""
    for number in range(20):
        Image.new("RGB", (32, 32), (number, number, number)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "04.png").write_bytes(b"nothing like a picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "07.png")
    (tmp_path / "07.png").write_bytes((tmp_path / "07.png").read_bytes()[:900])
    return tmp_path


def test_a_bad_picture_is_replaced_and_its_neighbours_stay(folder):
    batch = next(open_batches(make_config(folder, max_bad_fraction=0.5)))
    shown = batch["canvas"][:, 8, 8, 0].tolist()
    replaced = batch["skipped"].sum(1) > 0
    assert replaced.sum() == 2
    assert sorted(np.array(shown)[~replaced]) == [n for n in range(20) if n not in (4, 7)]
    assert not {4, 7} & set(shown)


def test_each_cause_is_counted_in_its_column(folder):
    with open_batches(make_config(folder, max_bad_fraction=0.5)) as batches:
        counts = sum(next(batches)["skipped"].sum(0) for _ in range(5))
        assert dict(batches.skipped) == {c: n for c, n in zip(CAUSES, counts, strict=True) if n}
    assert set(batches.skipped) == {"unreadable", "truncated"}
    assert min(batches.skipped.values()) >= 5


def test_each_bad_picture_is_named_once_in_the_log(folder, caplog):
    with caplog.at_level(logging.WARNING), open_batches(make_config(folder, max_bad_fraction=0.5)) as batches:
        for _ in range(5):
            next(batches)
    messages = sorted(record.getMessage().split(": ", 1)[1] for record in caplog.records)
    assert [message.removeprefix(f"{folder}: ") for message in messages] == [
        "skipped 04.png (unreadable)",
        "skipped 07.png (truncated)",
    ]


def test_a_run_that_goes_on_counts_and_names_as_if_it_had_never_stopped(folder, caplog):
    config = make_config(folder, max_bad_fraction=0.5)
    with open_batches(config) as batches:
        for _ in range(3):
            next(batches)
        state = json.loads(json.dumps(batches.get_state()))
        for _ in range(3):
            next(batches)
        whole = dict(batches.skipped)
    caplog.clear()
    with caplog.at_level(logging.WARNING), open_batches(config) as batches:
        batches.set_state(state)
        for _ in range(3):
            next(batches)
        assert dict(batches.skipped) == whole
    assert not caplog.records  # both were named before


def test_the_limit_of_bad_pictures_holds_over_stops(folder):
    """A picture a batch, and a stop after each: the second bad one is one too many all the same."""
    config = make_config(folder, max_bad_fraction=0.05, batch_size=1)
    state = {"next_step": 0}
    with pytest.raises(RunError, match="2 of 20 pictures cannot be used"):  # noqa: PT012
        for _ in range(20):
            with open_batches(config) as batches:
                batches.set_state(state)
                next(batches)
                state = json.loads(json.dumps(batches.get_state()))


def test_more_bad_pictures_than_the_limit_stop_the_run(folder):
    config = make_config(folder, max_bad_fraction=0.05)
    with pytest.raises(RunError, match=r"2 of 20 pictures cannot be used.*max_bad_fraction=0.05.*\.png"):
        next(open_batches(config))


def test_a_single_bad_picture_never_stops_a_run(folder):
    Image.new("RGB", (32, 32)).save(folder / "04.png")
    with open_batches(make_config(folder, max_bad_fraction=0.0)) as batches:
        for _ in range(3):
            next(batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_of_which_nothing_can_be_used_is_an_error_in_one_line(tmp_path, workers):
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"none of 32 pictures.*unreadable") as caught:
        next(open_batches(make_config(tmp_path, workers=workers)))
    assert "\n" not in str(caught.value)


@dataclasses.dataclass
class Witness:
    """A source that looks at the process it works in."""

    behaviour: str
    uri: str = "images:witness"
    modality: int = IMAGE
    num_labels: int = 0

    def __len__(self):
        return 100

    def name(self, record):
        return str(record)

    def load(self, records):
        import sys

        from pixjax.data.source import Picture

        if self.behaviour == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "raise":
            raise ZeroDivisionError(f"in process {os.getpid()}")
        bridge = sys.modules["jax._src.xla_bridge"]  # grain imports jax
        jax_started = bool(bridge._backends)
        return [Picture(np.full((16, 16, 3), jax_started, np.uint8), os.getpid() % 10**6) for _ in records]


def batches_of(source, workers):
    plan = make_plan(make_config("x").__class__(data=DataConfig(sources=("demo:images",), batch_size=4)), CODEC)
    plan = dataclasses.replace(plan, sources=(source,), codec=CODEC, canvas_size=16)
    return BatchIterator(plan, workers=workers, max_bad_fraction=1)


CODEC = CanvasCodec(canvas_size=16, marker=False)


def test_workers_are_other_processes_and_start_no_jax_backend():
    import jax

    jax.devices()  # this process has one
    with batches_of(Witness("look"), workers=1) as batches:
        batch = next(batches)
    assert not batch["canvas"].any()
    assert os.getpid() % 10**6 not in batch["label"]


def test_an_error_in_a_worker_is_the_error_that_is_seen():
    with batches_of(Witness("raise"), workers=1) as batches, pytest.raises(ZeroDivisionError, match="in process"):
        next(batches)


def test_a_worker_that_was_killed_is_reported_in_one_line():
    with batches_of(Witness("die"), workers=1) as batches, pytest.raises(RunError, match="a data worker died"):
        next(batches)
