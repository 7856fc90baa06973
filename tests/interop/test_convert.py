"""PyTorch JiT weights in and out: what a file becomes, that it comes back the same, and what is refused."""

import argparse
import pathlib
import sys

import jax
import numpy as np
import pytest
from etils import epath

import pixjax
from pixjax.checkpoints.checkpoint import Checkpoints
from pixjax.checkpoints.run_files import read_run, write_run
from pixjax.cli import main
from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.interop.convert import in_context_start, infer_model, read_for_jit, write_converted
from pixjax.interop.jit_files import JiTFile, read_jit_file, write_jit_file
from pixjax.interop.jit_names import expected_shapes
from pixjax.models import VARIANTS
from pixjax.models.presets import resolve
from pixjax.training.mesh import make_mesh, state_shardings
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model
from pixjax.training.train import train

GOLDEN = pathlib.Path(__file__).parent.parent / "models" / "golden_jit.npz"


def stored(kind: str, prefix: str = "net.") -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        names = [name for name in golden if name.startswith(f"{kind}/{prefix}")]
        return {name.removeprefix(f"{kind}/{prefix}"): golden[name].astype(np.float32) for name in names}


@pytest.fixture(scope="module")
def contents() -> JiTFile:
    """Three sets of parameters that differ in every tensor but the frozen one."""
    tensors = stored("conditional")
    sets = {
        name: {k: x if k == "pos_embed" else x * factor for k, x in tensors.items()}
        for name, factor in (("model", 1.0), ("model_ema1", 0.75), ("model_ema2", 0.5))
    }
    return JiTFile(sets=sets, args={"ema_decay1": 0.99, "ema_decay2": 0.98, "noise_scale": 1.5, "P_mean": -0.4})


@pytest.fixture(scope="module")
def workdir(contents, tmp_path_factory) -> epath.Path:
    folder = epath.Path(tmp_path_factory.mktemp("converted") / "run")
    write_converted(contents, folder, "FILE")
    return folder


def require_equal(found: JiTFile, wanted: JiTFile) -> None:
    assert found.sets.keys() == wanted.sets.keys()
    for name, tensors in wanted.sets.items():
        assert found.sets[name].keys() == tensors.keys()
        for key, tensor in tensors.items():
            # The positions are computed anew, by another library's sines.
            tolerance = 1e-6 if key == "pos_embed" else 0
            np.testing.assert_allclose(found.sets[name][key], tensor, rtol=0, atol=tolerance, err_msg=f"{name} {key}")


@pytest.mark.parametrize("kind", ["conditional", "unconditional"])
def test_a_converted_model_denoises_as_pytorch_does(kind, tmp_path):
    write_converted(JiTFile(sets={"model": stored(kind)}, args={}), epath.Path(tmp_path / "run"), "FILE")
    denoiser = pixjax.load(tmp_path / "run")
    inputs = stored(kind, prefix="")
    label = inputs["label"].astype(np.int32)
    label = np.where(label == 3, -1, label) if kind == "conditional" else None
    x_hat = denoiser.denoise(inputs["z"], inputs["t"], label=label)
    assert np.abs(x_hat - inputs["x_hat"]).max() <= 1e-4


def test_workdir_to_file_and_back_is_the_identity(contents, workdir, tmp_path):
    exported = read_for_jit(workdir)
    require_equal(exported, contents)
    write_converted(exported, epath.Path(tmp_path / "again"), "FILE")
    assert read_run(epath.Path(tmp_path / "again"))[0] == read_run(workdir)[0]
    for ema in ("none", "0.99", "0.98"):
        first, second = pixjax.load(workdir, ema=ema).params, pixjax.load(tmp_path / "again", ema=ema).params
        jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize(("suffix", "library"), [(".safetensors", "safetensors"), (".pth", "torch"), (".pt", "torch")])
def test_files_hold_what_was_written(suffix, library, contents, tmp_path):
    pytest.importorskip(library)
    path = tmp_path / f"weights{suffix}"
    write_jit_file(path, contents)
    found = read_jit_file(path)
    require_equal(found, contents)
    assert found.args == contents.args
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="exists: remove it"):
        write_jit_file(path, contents)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_commands_export_and_convert_undo_each_other(suffix, workdir, tmp_path, capsys):
    pytest.importorskip("safetensors" if suffix == ".safetensors" else "torch")
    out, again = tmp_path / f"weights{suffix}", tmp_path / "again"
    assert main(["export", "--to=jit", f"--workdir={workdir}", f"--out={out}"]) == 0
    assert main(["convert", "--from=jit", str(out), f"--workdir={again}"]) == 0
    assert "3 blocks of width 16, 2 heads, 3 classes" in capsys.readouterr().out
    require_equal(read_for_jit(epath.Path(again)), read_for_jit(workdir))


def test_the_config_says_what_the_tensors_and_the_options_say(workdir):
    config, codec = read_run(workdir)
    assert (config.model.canvas_size, config.model.patch_size, config.model.num_classes) == (16, "4", 3)
    assert (config.model.tagging, codec.marker, config.data.text_ratio) == ("none", False, 0.0)
    model = resolve(config.model)
    assert (model.width, model.depth, model.heads, model.bottleneck) == (16, 3, 2, 6)
    assert (model.in_context_tokens, model.in_context_start) == (5, 1)
    assert config.training.ema_decays == (0.99, 0.98)
    assert config.diffusion.noise_scale == 1.5
    assert config.diffusion.time.image == "logit_normal:-0.4:0.8"


@pytest.mark.parametrize("variant", ["B", "L", "H"])
@pytest.mark.parametrize(("canvas_size", "patch"), [(256, 16), (512, 32)])
def test_published_sizes_are_recognised(variant, canvas_size, patch):
    config = ModelConfig(
        variant=variant, canvas_size=canvas_size, patch_size=str(patch), tagging="none", num_classes=1000
    )
    shapes = expected_shapes(config)
    found = infer_model({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}, {}, "FILE")
    assert (found.variant, found.width, found.depth, found.heads, found.bottleneck) == (variant, 0, 0, 0, 0)
    assert resolve(found) == resolve(config)
    assert in_context_start(VARIANTS[variant].depth) == VARIANTS[variant].in_context_start


def test_a_file_with_one_average_alone_says_so(contents, tmp_path):
    one = JiTFile(sets={"model_ema2": contents.sets["model_ema2"]}, args=contents.args)
    notes = write_converted(one, epath.Path(tmp_path / "run"), "FILE")
    assert any("averages alone" in note for note in notes)
    assert read_run(epath.Path(tmp_path / "run"))[0].training.ema_decays == (0.98,)
    raw, average = (pixjax.load(tmp_path / "run", ema=ema).params for ema in ("none", ""))
    jax.tree.map(np.testing.assert_array_equal, raw, average)


def test_training_goes_on_from_a_converted_workdir(workdir, contents):
    config, _ = read_run(workdir)
    model, optimizer, mesh = make_model(config), make_optimizer(config.training), make_mesh(config.training.mesh)
    shapes = jax.eval_shape(lambda: init_state(config, model, optimizer))
    like = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, state_shardings(mesh, model, shapes)
    )
    with Checkpoints(workdir) as checkpoints:
        state, loop_state = checkpoints.restore_state(0, like)
    assert (int(state.step), loop_state["batches"]["next_step"]) == (0, 0)
    bias = contents.sets["model_ema2"]["final_layer.linear.bias"]
    np.testing.assert_array_equal(state.ema["0.98"]["out"]["bias"], bias)
    assert not any(np.asarray(moment).any() for moment in jax.tree.leaves(state.opt_state))


def test_a_converted_workdir_is_inspected_and_samples_and_starts_other_runs(workdir, tmp_path, tiny_config):
    assert main(["inspect", f"--workdir={workdir}", "--json"]) == 0
    out = tmp_path / "out"
    assert main(["sample", f"--workdir={workdir}", "--num=2", "--steps=1", "--label=1", f"--out={out}"]) == 0
    assert len(list((out / "images").iterdir())) == 2
    of_jit = read_run(workdir)[0].to_dict()["model"]
    config = tiny_config(
        model=of_jit | {"tagging": "condition", "dtype": "float32"},
        codec={"marker": False},
        data={"sources": ["demo:text"]},  # demo:images has more labels than this model has classes
        training={"steps": 1, "init_from": str(workdir), "learning_rate": 0.0, "warmup_steps": 0},
    )
    train(config, epath.Path(tmp_path / "finetuned"))
    finetuned, origin = pixjax.load(tmp_path / "finetuned", ema="none").params, pixjax.load(workdir).params
    new = finetuned.pop("type_embedding")
    assert not np.any(new)
    jax.tree.map(np.testing.assert_array_equal, finetuned, origin)


def test_a_run_is_not_overwritten(contents, workdir):
    with pytest.raises(InputError, match=r"holds a run already \(config.json\)"):
        write_converted(contents, workdir, "FILE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_embed": None}, r"FILE \(model\).*missing: pos_embed"),
        ({"x_embedder.proj1.weight": np.zeros((6, 48), np.float32)}, r"x_embedder.proj1.weight \(6, 48\)"),
        ({"blocks.1.attn.proj.weight": None, "extra": np.zeros(1)}, r"missing: blocks.1.attn.proj.weight.*: extra"),
        ({"x_embedder.proj1.weight": np.zeros((6, 3, 1, 16), np.float32)}, "have to be square"),
    ],
)
def test_tensors_that_are_no_jit_are_refused_and_nothing_is_written(change, message, tmp_path):
    tensors = {k: v for k, v in (stored("conditional") | change).items() if v is not None}
    with pytest.raises(InputError, match=message):
        write_converted(JiTFile(sets={"model": tensors}, args={}), epath.Path(tmp_path / "run"), "FILE")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"P_mean": "high"}, "P_mean='high', which is no number"),
        ({"in_context_start": 3}, "3 blocks and in-context tokens that join before block 3"),
        ({"ema_decay2": 0.9999}, "averages of equal decay"),
    ],
)
def test_options_that_make_no_sense_are_refused(args, message, contents, tmp_path):
    with pytest.raises(InputError, match=message):
        write_converted(JiTFile(sets=contents.sets, args=args), epath.Path(tmp_path / "run"), "FILE")
    assert not (tmp_path / "run").exists()


def test_models_that_jit_cannot_express_are_not_exported(tiny_config, tmp_path):
    for number, (model, message) in enumerate(
        [
            ({"tagging": "both"}, "type embedding"),
            ({"patch_size": "1x16"}, "not square"),
            ({"context_canvases": 1}, "context"),
            ({"self_condition": True}, "earlier prediction"),
        ]
    ):
        folder = epath.Path(tmp_path / str(number))
        write_run(folder, tiny_config(model=model), pixjax.CanvasCodec(tokenizer="bytes", canvas_size=16))
        with pytest.raises(InputError, match=message):
            read_for_jit(folder)


def test_options_of_the_training_code_are_read_and_other_classes_refused(tmp_path, contents):
    torch = pytest.importorskip("torch")
    state = {f"net.{name}": torch.from_numpy(x).bfloat16() for name, x in contents.sets["model"].items()}
    options = argparse.Namespace(noise_scale=2.0, model="JiT-B/16")
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 3, "args": options}, tmp_path / "jit.pth")
    found = read_jit_file(tmp_path / "jit.pth")
    assert found.args["noise_scale"] == 2.0
    write_converted(found, epath.Path(tmp_path / "run"), "FILE")  # positions rounded to bfloat16 are still the table

    torch.save({"model": state, "args": pathlib.PurePosixPath("a")}, tmp_path / "code.pth")
    with pytest.raises(InputError, match=r"needs code of its own \(pathlib.*\) to be unpickled and is refused"):
        read_jit_file(tmp_path / "code.pth")


def test_a_bare_state_dict_is_read(tmp_path, contents):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(x) for name, x in contents.sets["model"].items()}, tmp_path / "bare.pth")
    assert read_jit_file(tmp_path / "bare.pth").sets.keys() == {"model"}


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors", "text.pth", "text.safetensors", "no_such.pth", "a.npz"])
def test_what_is_no_checkpoint_ends_in_one_line(name, tmp_path, contents, capsys):
    pytest.importorskip("torch")
    path = tmp_path / name
    if name.startswith("cut"):
        write_jit_file(path, contents)
        path.write_bytes(path.read_bytes()[:5000])
    elif not name.startswith("no_such"):
        path.write_text("not a checkpoint\n")
    assert main(["convert", "--from=jit", str(path), f"--workdir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


def test_a_missing_library_is_named(tmp_path, contents, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'pixjax\[torch\]'"):
        write_jit_file(tmp_path / "weights.pth", contents)
    assert not list(tmp_path.iterdir())
