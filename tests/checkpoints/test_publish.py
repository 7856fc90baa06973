"""A small workdir to share: it is used as the run that it comes from, and is not written to."""

import jax
import numpy as np
import pytest
from etils import epath
from safetensors.numpy import load_file

import pixjax
from pixjax.checkpoints.digests import named_leaves
from pixjax.checkpoints.published import PublishedModel
from pixjax.checkpoints.run_files import find_workdir, read_run, write_run
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.cli import main
from pixjax.errors import InputError
from pixjax.training.finetune import params_from
from pixjax.training.train import train
from pixjax.training.workdir import require_same_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, tiny_config):
    head = {"tagging": "none", "codebook_head": True, "codebook_input": True, "self_condition": True}
    config = tiny_config(model=head, codec={"marker": False}, data={"sources": ["demo:text"]}, training={"steps": 3})
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(config, epath.Path(folder))
    return folder


@pytest.mark.parametrize(("flags", "ema"), [([], "0.9"), (["--ema=0.5"], "0.5")])
def test_a_published_model_is_the_average_that_was_asked_for(workdir, tmp_path, flags, ema, capsys):
    out = tmp_path / "small"
    assert main(["export", "--to=workdir", f"--workdir={workdir}", f"--out={out}", *flags]) == 0
    assert f"average {ema}" in capsys.readouterr().out
    published, original = pixjax.load(out), pixjax.load(workdir, ema=ema)
    jax.tree.map(np.testing.assert_array_equal, published.params, original.params)
    assert (published.step, published.codec, published.text_share) == (3, original.codec, 1.0)
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert {path.name for path in out.iterdir()} == {
        "model.safetensors", "config.json", "data.json", "sha256.json", "codec",
    }  # fmt: skip
    tensors = load_file(out / "model.safetensors")
    assert tensors.keys() == named_leaves(original.params).keys()
    assert main(["inspect", f"--workdir={out}", "--verify"]) == 0
    assert main(["inspect", f"--workdir={out}"]) == 0
    assert f"{sum(x.size for x in jax.tree.leaves(original.params)):,}" in capsys.readouterr().out


def test_what_is_wrong_with_a_published_file_is_said_in_one_line(workdir, tmp_path, tiny_config, capsys):
    out = epath.Path(tmp_path / "small")
    assert main(["export", "--to=workdir", f"--workdir={workdir}", f"--out={out}"]) == 0
    whole = (out / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    flipped = bytearray(whole)
    flipped[(header + len(whole)) // 2] ^= 1
    for damaged in (bytes(flipped), whole.replace(b'\\"step\\": 3', b'\\"step\\": 4'), whole[:-9], b"", whole[:header]):
        assert damaged != whole
        (out / "model.safetensors").write_bytes(damaged)
        capsys.readouterr()
        assert main(["sample", f"--workdir={out}", f"--out={tmp_path / 'samples'}"]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "model.safetensors is damaged" in line
        assert "copy the model again" in line
    (out / "model.safetensors").write_bytes(whole)
    assert main(["inspect", f"--workdir={out}", "--verify"]) == 0
    config, codec = read_run(out)
    with pytest.raises(InputError, match="start from its weights with"):
        require_same_run(out, config, codec)
    wider = pixjax.load(workdir).params | {"more": jax.numpy.zeros(3)}
    with PublishedModel(out) as model, pytest.raises(InputError, match="another architecture"):
        model.restore_params(3, "ema_0.9", wider)


def test_a_model_that_was_published_as_a_checkpoint_is_read(workdir, tmp_path):
    """As earlier versions wrote it: one average in a folder of checkpoints."""
    out = epath.Path(tmp_path / "small")
    config, codec = read_run(epath.Path(workdir))
    model = pixjax.load(workdir)
    write_run(out, config, codec)
    with CheckpointWriter(out, keep=config.training) as checkpoints:
        checkpoints.save_items(3, {"ema_0.9": model.params}, {}, config, codec)
        checkpoints.wait()
    jax.tree.map(np.testing.assert_array_equal, pixjax.load(out).params, model.params)


def test_another_run_of_the_same_architecture_starts_from_every_parameter(workdir):
    origin = pixjax.load(workdir)
    fresh = jax.tree.map(jax.numpy.zeros_like, origin.params)
    params, notes = params_from(str(workdir), fresh, origin.config, origin.codec, origin.model)
    jax.tree.map(np.testing.assert_array_equal, params, origin.params)
    assert notes == [f"starting from step 3 of {workdir}"]


def test_nothing_is_overwritten_and_raw_parameters_are_not_published(workdir, tmp_path, capsys):
    arguments = ["export", "--to=workdir", f"--workdir={workdir}"]
    assert main([*arguments, f"--out={tmp_path}"]) == 2
    assert "choose a new folder" in capsys.readouterr().err
    assert main([*arguments, f"--out={tmp_path / 'new'}", "--ema=none"]) == 2
    assert "a shared model is an average" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_average_that_is_not_there_is_answered_with_those_that_are(workdir, tmp_path, capsys):
    out = tmp_path / "small"
    assert main(["export", "--to=workdir", f"--workdir={workdir}", f"--out={out}"]) == 0
    for folder, known in ((workdir, "0.9, 0.5, none"), (out, "0.9")):
        assert main(["sample", f"--workdir={folder}", "--ema=0.7", f"--out={tmp_path / 'samples'}"]) == 2
        assert capsys.readouterr().err.strip().endswith(f"choose one of {known}")
    assert main(["export", "--to=jit", f"--workdir={workdir}", "--out=jit.pth", "--ema=0.9"]) == 2
    assert "--ema=0.9 is for --to=workdir" in capsys.readouterr().err


def test_a_name_that_the_package_does_not_have(capsys):
    assert main(["inspect", "--workdir=pretrained:enormous"]) == 2
    assert "pretrained:enormous does not come with pixjax: choose one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["train --config=demo", "study --config=study_best", "doctor", "convert --from=jit x"]
)
def test_a_model_of_the_package_is_not_written_to(command, capsys):
    assert main([*command.split(), "--workdir=pretrained:small"]) == 2
    assert "--config.training.init_from=pretrained:small" in capsys.readouterr().err


def test_another_name_is_a_folder(tmp_path):
    assert find_workdir(tmp_path) == epath.Path(tmp_path)
