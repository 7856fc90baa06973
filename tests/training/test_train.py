"""The run as its users see it: it learns, it resumes, it refuses."""

import dataclasses
import functools
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.load import load
from pixjax.checkpoints.writer import CheckpointWriter, most_checkpoints
from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.codec.subword import train_bpe
from pixjax.errors import InputError, RunError
from pixjax.models import denoise
from pixjax.training.finetune import params_from
from pixjax.training.mesh import make_mesh, replicated
from pixjax.training.programs import programs_of
from pixjax.training.reporter import Reporter
from pixjax.training.state import init_params, make_model
from pixjax.training.train import train

denoised = jax.jit(denoise, static_argnums=0)


def curve(workdir):
    """The logged lines, less what depends on the clock."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("canvases_per_second", "data/wait_share")} for line in lines]


def assert_same_params(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_config):
    """A run of six steps, never interrupted."""
    workdir = epath.Path(tmp_path_factory.mktemp("finished"))
    train(tiny_config(), workdir)
    return workdir


def test_a_stopped_run_continues_the_same_curve_to_the_same_parameters(finished, tmp_path, tiny_config):
    workdir = epath.Path(tmp_path)
    train(tiny_config(training={"steps": 2}), workdir)
    train(tiny_config(), workdir)
    assert curve(workdir) == curve(finished)
    assert [line["step"] for line in curve(workdir)] == [1, 2, 3, 4, 5, 6]
    for average in ("none", "0.9", "0.5"):
        assert_same_params(load(workdir, ema=average).params, load(finished, ema=average).params)


def _steps_on_host_batches(monkeypatch):
    monkeypatch.setattr("pixjax.training.train.to_global", lambda local, mesh: local)


def _adds_a_number_of_the_host(monkeypatch):
    def careless(*how):
        programs = programs_of(*how)

        def with_number(state, batch):
            state, metrics = programs.update(state, batch)
            return state, {name: value + 0 for name, value in metrics.items()}

        return dataclasses.replace(programs, update=with_number)

    monkeypatch.setattr("pixjax.training.train.programs_of", careless)


@pytest.mark.parametrize("careless", [_steps_on_host_batches, _adds_a_number_of_the_host])
def test_a_transfer_that_is_hidden_in_a_step_ends_the_run(careless, tmp_path, tiny_config, monkeypatch):
    careless(monkeypatch)
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        train(tiny_config(training={"steps": 2}), epath.Path(tmp_path))


def test_a_window_that_was_interrupted_is_logged_as_if_it_was_not(tmp_path, tiny_config):
    whole, stopped = epath.Path(tmp_path / "whole"), epath.Path(tmp_path / "stopped")
    every = {"log_every": 4, "checkpoint_every": 100}
    train(tiny_config(training={"steps": 4, **every}), whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "advance", lambda _, step: step == 3 and os.kill(os.getpid(), signal.SIGTERM))
        train(tiny_config(training={"steps": 4, **every}), stopped)
    assert not curve(stopped)
    train(tiny_config(training={"steps": 4, **every}), stopped)
    assert curve(stopped) == curve(whole)


def test_lines_after_the_last_checkpoint_are_made_again_not_twice(finished, tmp_path, tiny_config):
    workdir = epath.Path(tmp_path)
    train(tiny_config(training={"steps": 3}), workdir)
    metrics = workdir / "metrics.jsonl"
    metrics.write_text(
        metrics.read_text() + '{"step": 4, "loss": 9}\n{"step": 5, "lo'
    )  # killed in the middle of a line
    train(tiny_config(), workdir)
    assert curve(workdir) == curve(finished)


def test_metrics_tell_modalities_and_times_apart(finished):
    line = curve(finished)[-1]
    assert line["loss"] == pytest.approx((line["loss/text"] + line["loss/image"]) / 2, rel=1e-5)  # half and half
    bins = [name for name in line if name.startswith("x_mse/image/t")]
    assert bins
    assert min(line[b] for b in bins) <= line["x_mse/image"] <= max(line[b] for b in bins)
    assert 0 <= line["token_accuracy/text"] <= 1
    assert line["learning_rate"] == pytest.approx(1e-3)


def test_a_workdir_refuses_another_config_and_stays_as_it_is(finished, tiny_config):
    before = (finished / "config.json").read_text()
    with pytest.raises(InputError, match=r"training.learning_rate is 0.001 there and 0.1 here.*another --workdir"):
        train(tiny_config(training={"learning_rate": 0.1}), finished)
    assert (finished / "config.json").read_text() == before


def test_finetuning_starts_from_the_text_model_and_changes_nothing_it_says_of_text(tmp_path, tiny_config):
    condition = {"model": {"tagging": "condition"}, "codec": {"marker": False}}
    text, mixed = epath.Path(tmp_path / "text"), epath.Path(tmp_path / "mixed")
    train(
        tiny_config(
            model={"tagging": "none"},
            codec={"marker": False},
            data={"sources": ["demo:text"]},
            training={"steps": 2},
        ),
        text,
    )
    start = {"init_from": str(text), "steps": 1, "learning_rate": 0.0, "ema_decays": [0.0]}
    train(tiny_config(**condition, training=start), mixed)
    pretrained, finetuned = load(text), load(mixed)
    assert "type_embedding" not in pretrained.params
    z, t = jax.random.normal(jax.random.key(0), (2, 16, 16, 3)), jnp.array([0.3, 0.7])
    reference = pretrained.denoise(z, t)
    assert np.abs(reference).max() > 0
    np.testing.assert_array_equal(finetuned.denoise(z, t), reference)
    np.testing.assert_array_equal(finetuned.denoise(z, t, modality=TEXT), reference)


def test_a_run_may_start_from_weights_without_context(finished, tiny_config):
    config = tiny_config(model={"context_canvases": 2}, data={"context_pages": 1})
    model, mesh = make_model(config), make_mesh(config.training.mesh)
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), shapes)
    params, (note,) = params_from(str(finished), like, config, CanvasCodec(**config.codec_arguments()), model)
    assert "new here: context_modality, context_segment" in note
    pretrained = load(finished)
    z, t = jax.random.normal(jax.random.key(0), (2, 16, 16, 3)), jnp.array([0.3, 0.7])
    np.testing.assert_allclose(denoised(model, params, z, t), pretrained.denoise(z, t), atol=1e-5)


def test_a_run_may_gain_the_codebook_of_text(finished, tiny_config):
    head = {"tagging": "both", "codebook_head": True, "codebook_input": True, "cell_layers": 1}
    config = tiny_config(model=head)
    model, mesh = make_model(config), make_mesh(config.training.mesh)
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), shapes)
    params, (note,) = params_from(str(finished), like, config, CanvasCodec(**config.codec_arguments()), model)
    assert "cells_above_0, cells_below_0, cells_in, cells_out, embed_ids, out_ids" in note
    z, t = jax.random.normal(jax.random.key(0), (2, 16, 16, 3)), jnp.array([0.3, 0.7])
    images = denoised(model, params, z, t, jnp.full(2, IMAGE))
    np.testing.assert_allclose(images, load(finished).denoise(z, t), atol=1e-5)


def test_finetuning_makes_a_new_table_for_another_number_of_classes(tmp_path, tiny_config):
    """What was learned of canvases without a label is kept, of the classes nothing is, and that is told."""
    classes = {"num_classes": 6, "tagging": "condition"}
    start = {"steps": 1, "learning_rate": 0.1, "warmup_steps": 0, "ema_decays": [0.0]}
    origin = epath.Path(tmp_path)
    train(tiny_config(model=classes, codec={"marker": False}, training=start), origin)
    pretrained = load(origin).params
    for count, message in (
        (9, "the 6 classes there are 9 here: class_embedding is new, but for what it holds for canvases without"),
        (2, "the 6 classes there are 2 here: class_embedding is new"),
        (0, "the 6 classes there are 0 here: class_embedding is left out"),
    ):
        config = tiny_config(model=classes | {"num_classes": count}, codec={"marker": False}, training={"seed": 1})
        model, mesh = make_model(config), make_mesh(config.training.mesh)
        shapes = jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))
        whole = replicated(mesh)
        like = jax.tree.map(lambda x, on=whole: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=on), shapes)
        params, (note,) = params_from(str(origin), like, config, CanvasCodec(**config.codec_arguments()), model)
        assert message in note
        assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, like)
        table, old = params.pop("class_embedding", None), np.asarray(pretrained["class_embedding"])
        assert_same_params(params, {name: pretrained[name] for name in params})
        if count:
            np.testing.assert_array_equal(table[-1], old[-1])  # no label
            assert np.abs(np.asarray(table)[:2] - old[:2]).max() > 1e-3


def test_finetuning_refuses_another_architecture(finished, tmp_path, tiny_config):
    with pytest.raises(InputError, match=r"of another architecture: .* use the model\.\*"):
        train(tiny_config(model={"width": 64}, training={"init_from": str(finished)}), epath.Path(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_tokenizer_file_that_changed_is_another_run(tmp_path, tiny_config):
    """The config holds its name alone."""
    tokenizer = tmp_path / "mine.json"
    codec = {"tokenizer": str(tokenizer), "normalize": False, "code": "radix:auto:1"}
    tokenizer.write_bytes(train_bpe(["low lower lowest " * 50], 260))
    train(tiny_config(codec=codec, training={"steps": 1}), epath.Path(tmp_path / "run"))
    tokenizer.write_bytes(train_bpe(["other words than those " * 50], 260))
    with pytest.raises(InputError, match="was trained with another tokenizer"):
        train(tiny_config(codec=codec), epath.Path(tmp_path / "run"))


def test_finetuning_tells_what_the_parameters_were_trained_with(finished, tmp_path, tiny_config, capsys):
    other = {"codec": {"layout": "raster"}, "diffusion": {"noise_scale": 2.0}}
    train(tiny_config(**other, training={"steps": 1, "init_from": str(finished)}), epath.Path(tmp_path))
    told = capsys.readouterr().err
    assert "codec.layout is 'raster', where these parameters were trained it was 'patch'" in told
    assert "diffusion.noise_scale is 2.0, where these parameters were trained it was 1.0" in told


def test_gradients_that_stay_bad_stop_the_run_and_keep_the_good_parameters(tmp_path, tiny_config):
    workdir = epath.Path(tmp_path / "run")
    bad = {
        "training": {"learning_rate": 1e30, "clip_norm": 0.0, "steps": 50, "max_skipped_updates": 3, "warmup_steps": 0}
    }
    with pytest.raises(RunError, match=r"\d updates in a row .* saved as step \d+"):
        train(tiny_config(**bad), workdir)
    assert load(workdir).step < 50
    with np.load(workdir / "bad_batch.npz") as batch:
        assert batch["canvas"].shape == (8, 16, 16, 3)
        assert batch["step"] == load(workdir).step


def test_the_newest_the_every_and_the_best_checkpoints_are_kept_and_never_more_than_is_told(
    tmp_path, tiny_config, monkeypatch
):
    workdir = epath.Path(tmp_path)
    kept = {"keep_checkpoints": 1, "keep_every": 4, "keep_best": 1, "best_metric": "x_mse/text"}
    config = tiny_config(training={"steps": 9, "checkpoint_every": 1, **kept})
    crashed = workdir / "checkpoints" / "3.orbax-checkpoint-tmp" / "params"  # of a run that was killed in a save
    crashed.mkdir(parents=True)
    original, folders = CheckpointWriter.save, []

    def save_and_count(self, *args):
        original(self, *args)
        folders.append(len(list((workdir / "checkpoints").iterdir())))

    monkeypatch.setattr(CheckpointWriter, "save", save_and_count)
    train(config, workdir)
    assert len(folders) >= 9
    assert max(folders) <= most_checkpoints(config.training)
    values = {line["step"]: line["x_mse/text"] for line in curve(workdir)}
    assert saved_steps(workdir) == sorted({4, 8, 9, min(values, key=values.get)})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"mesh": {"data": 3}}}, r"mesh .*=\(3, 1, 1\) does not fit"),
        ({"diffusion": {"time": {"text": "cauchy:1"}}}, "time law 'cauchy:1' is unknown"),
        ({"diffusion": {"time": {"text": "adaptive:-6:10"}}}, "the pixel head predicts this text"),
        ({"data": {"sources": ["text:no/such/*.txt"], "text_ratio": 1.0}}, "no/such"),
    ],
)
def test_wrong_configs_write_nothing(sections, message, tmp_path, tiny_config):
    with pytest.raises(InputError, match=message):
        train(tiny_config(**sections), epath.Path(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
