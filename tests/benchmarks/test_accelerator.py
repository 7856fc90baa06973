"""`benchmarks/accelerator.py`: what it writes on a CPU, goes on from, and says where something cannot be measured."""

import contextlib
import gzip
import io
import json

import numpy as np
import pytest

from benchmarks import accelerator, accelerator_parts
from benchmarks.accelerator_parts import NotPossible, Settings
from pixjax.planning.footprint import bytes_per_device
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import place_state
from pixjax.training.state import make_model

TINY = Settings(tiny=True)
MEASURED = ("loader", "mfu-S", "precision")  # the others need another size, a chip, PyTorch or a text


def here(begun: list[str]):
    """Measures a part in this process, which has imported what it needs, and notes its name. B and L fail."""

    def measure(name, args, limit):
        begun.append(name)
        if name in ("mfu-B", "mfu-L"):
            return {"status": "failed", "why": "RESOURCE_EXHAUSTED: out | of memory"}
        settings = Settings(tiny=args.tiny, letters27=args.letters27)
        return json.loads(json.dumps(accelerator_parts.record(name, settings)))

    return measure


@pytest.fixture
def begun(monkeypatch):
    names: list[str] = []
    monkeypatch.setattr(accelerator, "in_a_process", here(names))
    return names


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A call: what it wrote, what it printed, which parts it began."""
    out, printed, names = tmp_path_factory.mktemp("accelerator") / "out.json", io.StringIO(), []
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(accelerator, "in_a_process", here(names))
        assert accelerator.main(["--tiny", f"--out={out}"]) == 1  # as two of them have failed
    return out.read_text(), printed.getvalue(), names


def parts_of(text: str) -> dict:
    return json.loads(text)["parts"]


def test_every_part_is_measured_or_says_why_not(first):
    parts, names = parts_of(first[0]), first[2]
    assert names == list(accelerator.SECONDS) == list(accelerator_parts.PARTS)
    assert {name for name, part in parts.items() if part["status"] == "measured"} == set(MEASURED)
    assert all(parts[name]["device"].endswith("cpu") and parts[name]["seconds"] > 0 for name in MEASURED)
    assert parts["attention"]["why"] == "model.attention=cudnn is for NVIDIA GPUs, and jax computes on cpu"
    assert parts["torch"]["why"] in ("PyTorch is not installed", "PyTorch has no CUDA here")
    assert parts["memory"]["why"] == "jax does not tell the memory in use of a cpu"
    assert parts["letters27"]["why"] == "--letters27 was not given"


def test_the_figures_are_what_they_are_called(first):
    figures = {name: parts_of(first[0])[name]["figures"] for name in MEASURED}
    precision = figures["precision"]
    assert precision["steps"] == len(precision["float32"]) == len(precision["bfloat16"]) == 3
    exact, rounded = np.array([precision["float32"], precision["bfloat16"]])
    assert precision["largest"] == pytest.approx(np.max(np.abs(rounded - exact) / exact))
    assert 0 < precision["largest"] < 0.02  # they are those of the same parameters, at eight bits of mantissa
    for of in (figures["mfu-S"]["pixels"], figures["mfu-S"]["text head"]):
        assert of["canvases_per_second"] == pytest.approx(of["canvases"] / of["seconds"])
        assert of["mfu"] is None  # of a CPU there is no data sheet
        assert of["flops_per_second"] > 0
    assert 0 <= figures["loader"]["wait_share"]["0"] < 1


def test_the_table_has_a_row_for_each_figure_or_reason(first):
    lines = [line.split("|")[1:-1] for line in first[1].splitlines() if line.startswith("|")]
    assert {len(line) for line in lines} == {3}
    rows = {what.strip(): (figure.strip(), goal.strip()) for what, figure, goal in lines}
    mfu = "MFU of {}/4 at 64 pixels, with the pixel head; with the text head"
    assert rows[mfu.format("L")] == ("failed: RESOURCE_EXHAUSTED: out / of memory", "≥ 50 %")
    assert rows[mfu.format("S")][0].count("canvases/s, 16 a step") == 2
    assert rows["sampling, against the same"][0].startswith("not possible here: PyTorch")
    assert rows["share of the time that training waits for data"][1] == "< 1 %"


def test_a_second_call_measures_only_what_is_missing(first, begun, tmp_path):
    out = tmp_path / "out.json"
    out.write_text(first[0])
    accelerator.main(["--tiny", f"--out={out}"])
    assert begun == [name for name in accelerator.SECONDS if name not in MEASURED]
    before, after = parts_of(first[0]), parts_of(out.read_text())
    assert {name: after[name] for name in MEASURED} == {name: before[name] for name in MEASURED}


def test_what_there_is_no_time_for_is_named(first, begun, tmp_path, capsys):
    out = tmp_path / "out.json"
    before = {name: part for name, part in parts_of(first[0]).items() if name not in ("precision", "torch")}
    accelerator.write(out, True, before)
    assert accelerator.main(["--tiny", "--minutes=0", f"--out={out}"]) == 1
    assert begun == []
    after = parts_of(out.read_text())
    left = {name for name, part in after.items() if part["status"] == "not measured"}
    assert left == {"precision", "torch", "attention", "memory", "letters27"}
    why = "it takes about 110 s and 0 s were left: the same command goes on"
    assert after["torch"] == {"status": "not measured", "why": why}
    assert after["mfu-S"] == before["mfu-S"]
    assert after["mfu-L"] == before["mfu-L"]  # what failed still says why
    assert f"| not measured: {why} |" in capsys.readouterr().out


def test_what_would_not_be_done_in_time_is_not_begun(begun, tmp_path):
    assert accelerator.main(["--minutes=0.9", f"--out={tmp_path / 'out.json'}"]) == 1
    assert begun == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "holds something else"),
        ("a page", "holds something else"),
        ('{"tiny": false, "parts": {}}', "was made without --tiny and this is with"),
    ],
)
def test_another_file_is_not_written_over(begun, tmp_path, capsys, content, message):
    path = tmp_path / "out.json"
    path.write_text(content)
    assert accelerator.main(["--tiny", f"--out={path}"]) == 2
    assert message in capsys.readouterr().err
    assert path.read_text() == content
    assert begun == []


def test_a_part_is_a_process_that_ends_when_its_time_is_over():
    args = accelerator.make_parser().parse_args(["--tiny"])
    assert accelerator.in_a_process("attention", args, 100) == {
        "status": "not possible here",
        "why": "model.attention=cudnn is for NVIDIA GPUs, and jax computes on cpu",
    }
    late = accelerator.in_a_process("precision", args, 0.1)
    assert late == {"status": "not measured", "why": "it was not done in the 0 s that were left for it"}
    died = accelerator.in_a_process("no such part", args, 100)
    assert died == {"status": "failed", "why": "its process ended with exit code 2: what it said stands above"}


def test_what_a_part_fails_with_is_one_line(monkeypatch):
    def fail(settings):
        raise RuntimeError("RESOURCE_EXHAUSTED:\n  out of memory")

    monkeypatch.setitem(accelerator_parts.PARTS, "memory", fail)
    record = accelerator_parts.record("memory", TINY)
    assert (record["status"], record["why"]) == ("failed", "RuntimeError: RESOURCE_EXHAUSTED: out of memory")


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    tried = []

    def updates(config, number):
        tried.append(config.data.batch_size)
        if config.data.batch_size > 64:
            raise accelerator_parts.jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return lambda: 0.0

    monkeypatch.setattr(accelerator_parts, "updates", updates)
    assert accelerator_parts.measure_mfu("S", Settings(tiny=False))["pixels"]["canvases"] == 64
    assert tried == [256, 128, 64] * 2


@pytest.fixture
def updated(monkeypatch):
    """The configs whose updates are asked for; none is made."""
    configs = []

    def updates(config, number):
        configs.append(config)
        return lambda: 1.0

    monkeypatch.setattr(accelerator_parts, "updates", updates)
    return configs


def test_two_kinds_of_attention_are_compared(updated):
    """As with cuDNN's, which needs a GPU."""
    found = accelerator_parts.measure_attention(TINY, other="heads_first")
    assert [config.model.attention for config in updated] == ["xla", "heads_first"]
    assert {config.model.dtype for config in updated} == {"bfloat16"}
    assert found["tokens"] == 16
    assert 0 <= found["difference"] < 0.01
    assert found["step_ratio"] == pytest.approx(found["seconds"]["xla"] / found["seconds"]["heads_first"])


def test_memory_stands_beside_the_estimate(updated, monkeypatch):
    monkeypatch.setattr(accelerator_parts, "peak_bytes", lambda: 10**6)
    found = accelerator_parts.measure_memory(TINY)
    (config,) = updated
    state = place_state(config, make_model(config), make_optimizer(config.training), make_mesh(config.training.mesh))
    assert found["estimated_bytes"] > 1.2 * bytes_per_device(state)  # gradients and activations are more
    assert (found["peak_bytes"], found["canvases"]) == (10**6, 16)


def test_letters27_is_trained_and_read(tmp_path):
    letters = "".join(np.random.default_rng(0).choice(list("ab "), 3000))
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress(letters.encode()))
    found = accelerator_parts.measure_letters27(Settings(tiny=True, letters27=str(tmp_path)))
    assert found["steps"] > 0
    assert found["canvases"] == 4
    assert 0 < found["bits_per_char"] < np.log2(27)
    with pytest.raises(NotPossible, match="--letters27 was not given"):
        accelerator_parts.measure_letters27(TINY)
