"""The figures of an estimate: exact where arithmetic alone makes them, and in agreement with what a run logs."""

import dataclasses
import json

import jax
import pytest
from etils import epath

from pixjax.checkpoints.writer import most_checkpoints
from pixjax.chips import parse_chips
from pixjax.cli import main
from pixjax.commands.estimate import lines
from pixjax.config import Config, TrainingConfig
from pixjax.errors import InputError
from pixjax.models.flops import training_flops
from pixjax.planning.estimate import _repeated_share, compose, estimate
from pixjax.planning.footprint import Footprint, Memory
from pixjax.planning.messages import Message
from pixjax.training.computation import update_flops
from pixjax.training.optimizer import optimizer_flops
from pixjax.training.reporter import Reporter
from pixjax.training.state import init_params, make_model

GIB = 2**30


def memory(wanted: int = 32, largest: int = 64, limit_reached: bool = False) -> Memory:
    """Two GiB of state, one of gradients, half of one a canvas."""

    def footprint(canvases: int) -> Footprint:
        rest = int((1 + canvases / 2) * GIB) - canvases * 2**14
        return Footprint(canvases=canvases, state=2 * GIB, batch=canvases * 2**14, rest=rest, flops=0)

    return Memory(
        parameters=10**8,
        state=2 * GIB,
        state_per_device=2 * GIB,
        batch_per_canvas=2**14,
        fixed=3 * GIB,
        per_canvas=GIB / 2,
        wanted=None if limit_reached else footprint(wanted),
        largest=footprint(largest) if largest else None,
        compiler="XLA for CPUs",
        is_exact=False,
        mesh=(2, 1, 1),
    )


def composed(found: Memory, limit: float, config: Config | None = None, **changes):
    arguments = {"chips": "h100x8", "mesh": (8, 1, 1), "limit": limit, "peak": 8e15, "mfu": 0.5, "canvases": 10**9}
    return compose(config or Config(), found, **(arguments | changes))


def test_memory_is_split_into_what_grows_with_the_batch_and_what_does_not():
    found = composed(memory(), 60 * GIB)
    assert found.canvases_per_device == 256 // 8
    assert found.state_bytes == 2 * GIB
    assert found.fixed_bytes == GIB
    assert found.activation_bytes + found.batch_bytes == 16 * GIB
    assert found.total_bytes == 19 * GIB
    assert found.fits
    assert found.largest_batch_size == 64 * 8
    assert found.advice == ()


def test_time_is_flops_over_peak_and_mfu():
    config = Config()
    found = composed(memory(), 60 * GIB)
    flops = training_flops(dataclasses.replace(config.model, dtype="float32"))
    assert found.flops_per_step == 256 * flops
    assert found.step_seconds == pytest.approx(256 * flops / (8e15 * 0.5))
    assert found.days == pytest.approx(1e9 * flops / (8e15 * 0.5) / 86_400)


def test_at_the_mfu_that_a_run_logs_the_rate_is_the_one_that_it_logs(tmp_path):
    """The same definition in both: canvases/s x FLOPs a canvas / peak."""
    config, peak = Config(), 3e15
    flops = training_flops(config.model)
    sizes = {"start_step": 0, "steps": 9, "batch_size": config.data.batch_size}
    with Reporter(epath.Path(tmp_path), **sizes, flops_per_canvas=flops, peak_flops=peak) as reporter:
        reporter.log(7, {"loss": 1.0}, waited=0.0)
    logged = json.loads((tmp_path / "metrics.jsonl").read_text())
    found = composed(memory(), 60 * GIB, peak=peak, mfu=logged["mfu"])
    assert found.canvases_per_second == pytest.approx(logged["canvases_per_second"])


def test_messages_are_told_where_the_compiler_is_the_chips_own():
    """A gradient of 1.6 GB, summed over two replicas that stand for 16, over links of 0.2 GB a millisecond."""
    message = Message(
        kind="all-reduce", bytes=1_600_000_000, devices=2, is_over_replicas=True, times=1, operation="gradient"
    )
    found = memory()
    wanted = dataclasses.replace(found.wanted, messages=(message,))
    exact = dataclasses.replace(found, wanted=wanted, is_exact=True)
    told = composed(exact, 60 * GIB, mesh=(16, 1, 1), links=2e11)
    assert told.message_bytes == 2 * 15 / 16 * 1.6e9
    assert told.message_seconds == pytest.approx(0.015)
    assert "0.015 s at best" in "\n".join(lines(told))
    for unknown in (composed(found, 60 * GIB, links=2e11), composed(exact, 60 * GIB)):
        assert unknown.message_bytes is None
        assert "messages     not counted" in "\n".join(lines(unknown))


def test_what_replicas_repeat_of_muon_is_told():
    muon = Config(training=TrainingConfig(optimizer="muon"))
    repeated = [_repeated_share(muon, mesh) for mesh in ((1, 1, 1), (1, 16, 1), (4, 4, 1), (16, 1, 1))]
    assert repeated[:2] == [0, 0]
    assert 0 < repeated[2] < repeated[3] / 3 < 1
    model, params = make_model(muon), jax.eval_shape(lambda: init_params(make_model(muon), jax.random.key(0)))
    of_muon = optimizer_flops(muon.training, params)
    on_a_device = (update_flops(muon, model) - of_muon) / 16 + of_muon
    assert repeated[3] == pytest.approx(of_muon * 15 / 16 / on_a_device)
    assert _repeated_share(Config(), (16, 1, 1)) == 0


def test_what_does_not_fit_comes_with_settings_that_would():
    found = composed(memory(largest=10), 8 * GIB)
    assert not found.fits
    assert found.advice[0] == "--config.data.batch_size=80 fits"
    assert "--config.training.accumulate=4 " in found.advice[1]  # 32 canvases as 4 times 8
    assert any("model.remat=full" in advice for advice in found.advice)


def test_a_state_that_does_not_fit_is_to_be_split_over_devices():
    found = composed(memory(largest=0, limit_reached=True), 2 * GIB)
    assert not found.fits
    assert found.total_bytes == 19 * GIB
    assert any(advice.startswith("--config.training.mesh.fsdp=4 ") for advice in found.advice)


def test_a_person_reads_the_same_figures():
    text = "\n".join(lines(composed(memory(), 60 * GIB)))
    assert "19.00 GiB a device of 60.00 GiB: fits" in text
    assert "64 canvases a device, 512 a batch" in text
    assert "1,000,000,000 canvases at 50% MFU" in text


@pytest.mark.parametrize(
    ("chips", "arguments", "message"),
    [
        ("v9-8", {}, "the chips are"),
        ("h100x8", {"mfu": 1.5}, "--mfu=1.5 has to be above 0"),
        ("h100x8", {"canvases": 0}, "--canvases=0"),
        ("h100x8", {"memory_gib": float("nan")}, "--hbm-gib=nan"),
        ("h100x3", {}, "choose a multiple of 3"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_compiled(tiny_config, chips, arguments, message):
    with pytest.raises(InputError, match=message):
        estimate(tiny_config(), chips, **arguments)


def test_a_mesh_and_an_attention_that_the_chips_cannot_have_are_refused(tiny_config):
    with pytest.raises(InputError, match=r"does not fit 4 devices"):
        estimate(tiny_config(training={"mesh": {"data": 3}}), "h100x4")
    with pytest.raises(InputError, match="for NVIDIA GPUs"):
        estimate(tiny_config(model={"attention": "cudnn"}), "v5e-4")


def test_the_command_compiles_for_devices_that_are_not_there(config_file, capsys):
    """Four GPUs, the state split over two of them: the compiled step has a half of each matrix."""
    arguments = ["--chips=h100x4", "--config.training.mesh.fsdp=2", "--mfu=0.3", "--json"]
    assert main(["estimate", f"--config={config_file}", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mesh"] == {"data": 2, "fsdp": 2, "tensor": 1}
    assert found["canvases_per_device"] == 2
    assert 0.5 < found["state_bytes"] / found["checkpoint_bytes"] < 0.65
    chip, _ = parse_chips("h100x4")
    assert found["limit_bytes"] == 0.75 * chip.memory
    assert found["peak_flops"] == 4 * chip.flops
    assert found["fits"]
    assert any("activations are what XLA for CPUs allocates" in assumption for assumption in found["assumptions"])
    assert not any("MFU is assumed" in assumption for assumption in found["assumptions"])


def test_checkpoints_on_disk_are_the_newest_the_spaced_the_best_and_one_that_is_written(tiny_config):
    training = tiny_config(training={"keep_checkpoints": 2, "keep_every": 3, "keep_best": 1, "steps": 10}).training
    assert most_checkpoints(training) == 2 + 3 + 1 + 1
