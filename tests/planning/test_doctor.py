"""What the doctor finds, with each thing that can be wrong put wrong; and that one does not hide another."""

import json
import threading

import numpy as np
import pytest
from etils import epath
from PIL import Image

from pixjax.checkpoints.run_files import write_run
from pixjax.chips import parse_chips
from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.config_file import load_config
from pixjax.errors import InputError
from pixjax.planning import doctor, machine
from pixjax.planning.doctor import examine
from pixjax.planning.finding import Finding, isolated
from pixjax.planning.machine import checkpoint_speed, loader_rate, matmul_flops, memory_bandwidth


@pytest.fixture
def quick(monkeypatch):
    """What takes seconds is taken as measured: 100 GFLOP/s, 10 GB/s, 1e6 canvases/s, 200 MB/s."""
    monkeypatch.setattr(machine, "matmul_flops", lambda dtype: 1e11)
    monkeypatch.setattr(machine, "memory_bandwidth", lambda: 1e10)
    monkeypatch.setattr(doctor, "loader_rate", lambda config, codec: 1e6)
    monkeypatch.setattr(doctor, "checkpoint_speed", lambda folder, size: 2e8)


def statuses(findings) -> dict[str, str]:
    return {name: finding.status for name, finding in findings.items() if finding.status != "ok"}


def test_a_machine_that_is_fit_is_told_so_and_nothing_is_left_behind(config_file, tmp_path, capsys):
    workdir = tmp_path / "new" / "run"
    assert main(["doctor", f"--config={config_file}", f"--workdir={workdir}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fit"]
    values = {name: check["values"] for name, check in found["checks"].items()}
    assert values["devices"]["count"] == 1
    assert values["matrix products float32"]["flops"] > 1e8
    assert values["memory bandwidth"]["bytes_per_second"] > 1e8
    assert values["mesh"] == {"data": 1, "fsdp": 1, "tensor": 1, "canvases_per_device": 8}
    assert values["source demo:text"]["records"] > 100
    assert values["loader"]["canvases_per_second"] > 10
    assert values["workdir"]["bytes_per_second"] > 1e4
    assert values["disk"]["free_bytes"] > values["disk"]["wanted_bytes"] == 4 * 4 * (5 * 52_356 + 2)
    assert list(tmp_path.iterdir()) == []


def test_the_measurements_are_of_the_right_size():
    """Within what any computer of these years does: a wrong unit would be off by a thousand."""
    assert 1e8 < matmul_flops("float32") < 1e15
    assert 1e8 < memory_bandwidth() < 1e13


def test_a_sample_is_deleted_also_from_a_folder_that_was_there(tmp_path):
    (tmp_path / "mine").write_text("")
    assert checkpoint_speed(epath.Path(tmp_path), 2**20) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_workdir_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_speed(epath.Path("runs/new"), 2**20) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, path, *arguments, **named):
        (path.parent / f"{path.name}.orbax-checkpoint-tmp").mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(machine.ocp.StandardCheckpointer, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint_speed(epath.Path(tmp_path / "new"), 2**20)
    assert list(tmp_path.iterdir()) == []


def test_a_loader_makes_the_batches_of_training(tiny_config, monkeypatch):
    monkeypatch.setattr(machine, "_LOADER_SECONDS", 0.2)
    config = tiny_config()
    assert loader_rate(config, CanvasCodec(**config.codec_arguments())) > 10


def test_a_source_that_is_not_there_fails_and_the_others_are_still_opened(quick, tiny_config, tmp_path, capsys):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    sources = ("demo:text", "images:no/such/folder", f"images:{tmp_path}")
    findings = examine(tiny_config(data={"sources": sources}), None)
    assert statuses(findings) == {"source images:no/such/folder": "failure", "loader": "warning"}
    missing = findings["source images:no/such/folder"]
    assert "'no/such/folder' does not exist" in missing.found
    assert missing.remedy == "give a folder, a .zip or a .tar"
    assert findings[f"source images:{tmp_path}"].values == {"records": 1}


def test_a_source_is_named_once_whatever_is_wrong_with_it(quick, tiny_config, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"text": "hello"}\n' + "broken\n" * 3)
    rows = f"text:{tmp_path}/rows.jsonl"
    findings = examine(tiny_config(data={"sources": (rows, "demo:text?x=1", "demo:text", "demo:text")}), None, print)
    assert [name for name in findings if name.startswith("source ")] == [
        f"source {uri}" for uri in (rows, "demo:text?x=1", "demo:text")
    ]
    assert capsys.readouterr().out.count("source demo:text Finding") == 1
    assert findings[f"source {rows}"].found.startswith("3 of 4 rows cannot be used, more than data.max_bad_fraction")
    assert findings[f"source {rows}"].remedy == "mend them, or raise data.max_bad_fraction"
    unknown = findings["source demo:text?x=1"]
    assert (unknown.found, unknown.remedy) == ("option 'x' is unknown", "demo knows only part")


def test_a_workdir_that_cannot_be_written_fails_with_exit_code_1(quick, config_file, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "checkpoint_speed", checkpoint_speed)
    assert main(["doctor", f"--config={config_file}", "--workdir=/proc/pixjax/run"]) == 1
    out = capsys.readouterr().out
    assert "failure  workdir: " in out
    assert "ok       loader: " in out


def test_a_config_that_does_not_fit_the_devices_fails_and_the_machine_is_still_measured(quick, tiny_config):
    findings = examine(tiny_config(training={"mesh": {"data": 3}}), None)
    assert findings["mesh"].status == "failure"
    assert findings["mesh"].remedy == "choose sizes whose product is 1"
    assert findings["memory bandwidth"].status == findings["loader"].status == "ok"


def test_a_model_whose_state_has_no_room_fails(quick, tiny_config, monkeypatch):
    monkeypatch.setattr(doctor, "device_memory", lambda: 1e6)  # the state has 1.05e6 bytes
    findings = examine(tiny_config(), None)
    assert statuses(findings) == {"model": "failure"}
    assert "training.mesh.fsdp" in findings["model"].remedy


def test_a_workdir_of_another_run_fails(quick, tiny_config, tmp_path):
    other = tiny_config(training={"seed": 7})
    write_run(epath.Path(tmp_path), other, CanvasCodec(**other.codec_arguments()))
    findings = examine(tiny_config(), epath.Path(tmp_path))
    assert statuses(findings) == {"workdir": "failure"}
    assert "training.seed is 7 there and 0 here" in findings["workdir"].found


def test_a_full_disk_fails_and_one_with_room_for_few_warns(tiny_config, tmp_path, monkeypatch):
    one = 4 * (5 * 52_356 + 2)
    for free, status in ((one - 1, "failure"), (2 * one, "warning"), (4 * one, "ok")):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, usage=usage: usage)
        assert doctor.check_disk(tiny_config(), epath.Path(tmp_path)).status == status


def test_a_loader_slower_than_the_devices_is_a_warning_that_names_the_workers(quick, tiny_config, monkeypatch):
    monkeypatch.setattr(machine, "matmul_flops", lambda dtype: 1e15)
    findings = examine(tiny_config(), None)
    assert statuses(findings) == {"loader": "warning"}
    assert "data.workers" in findings["loader"].remedy


def test_a_disk_slower_than_the_checkpoints_come_is_a_warning(quick, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "checkpoint_speed", lambda folder, size: 1e3)
    findings = examine(tiny_config(training={"checkpoint_every": 1}), epath.Path(tmp_path))
    assert statuses(findings) == {"workdir": "warning"}
    assert "training.checkpoint_every" in findings["workdir"].remedy


def test_a_chip_below_its_data_sheet_is_a_warning(quick, monkeypatch):
    chip, _ = parse_chips("h100")
    monkeypatch.setattr(machine, "_chip", lambda: chip)
    monkeypatch.setattr(machine, "matmul_flops", lambda dtype: 0.1 * chip.flops)
    monkeypatch.setattr(machine, "memory_bandwidth", lambda: 0.9 * chip.bandwidth)
    findings = examine(None, None)
    assert statuses(findings) == {"matrix products bfloat16": "warning"}
    assert "10% of the 989 that h100 promises" in findings["matrix products bfloat16"].found
    assert findings["memory bandwidth"].values["share_of_peak"] == pytest.approx(0.9)


def test_an_accelerator_that_jax_does_not_use_is_a_warning(quick, tmp_path, monkeypatch):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 550.54.15'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "JAX_PLATFORMS=cpu" in machine.check_accelerator().remedy
    monkeypatch.delenv("JAX_PLATFORMS")
    finding = machine.check_accelerator()
    assert finding.status == "warning"
    assert "1 x NVIDIA H100 80GB HBM3, driver 550.54.15" in finding.found
    assert "pip install 'pixjax[cuda13]'" in finding.remedy


def test_a_library_outside_of_what_is_declared_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine, "_declared_requirements", lambda: ["jax>=99", "numpy>=1", "not-installed>=1"])
    finding = machine.check_software()
    assert finding.status == "warning"
    assert finding.remedy == "pip install 'jax>=99'"


def test_a_check_that_hangs_or_crashes_is_told_and_stands_alone():
    asked = threading.Event()
    hung = isolated(asked.wait, patience=0.05)
    asked.set()
    assert (hung.status, hung.found) == ("warning", "no answer in 0 s")

    def crash(error: Exception) -> Finding:
        raise error

    assert isolated(lambda: crash(ValueError("odd"))).found == "ValueError: odd"
    refused = isolated(lambda: crash(InputError("a: b: do this")))
    assert (refused.status, refused.found, refused.remedy) == ("failure", "a: b", "do this")


def test_a_terminal_gets_a_table(quick, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "┃" in out
    assert "matrix products bfloat16" in out


def test_a_workdir_brings_its_own_config(quick, config_file, tmp_path, capsys):
    config = load_config(str(config_file))
    write_run(epath.Path(tmp_path), config, CanvasCodec(**config.codec_arguments()))
    assert main(["doctor", f"--workdir={tmp_path}"]) == 0
    assert "52,356 parameters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=nothing"], "no config is named 'nothing'"),
        (["--config.training.steps=3"], "name it with --config"),
        (["--config=demo", "--config.training.stps=3"], "did you mean 'training.steps'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(["doctor", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
