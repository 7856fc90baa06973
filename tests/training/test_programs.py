"""Which runs share their programs: those that compute the same, and no others."""

import dataclasses

from pixjax.codec import CanvasCodec
from pixjax.training import programs
from pixjax.training.mesh import make_mesh
from pixjax.training.placement import place_batch
from pixjax.training.programs import as_computed, programs_of

BESIDE = {
    "steps": 7, "checkpoint_every": 5, "keep_checkpoints": 2, "keep_every": 10, "keep_best": 1,
    "best_metric": "loss/text", "save_retry_seconds": 1.0, "hang_minutes": 1.0, "log_every": 3,
    "max_skipped_updates": 9, "profile_steps": "2:4", "init_from": "runs/other",
}  # fmt: skip


def lowered(config) -> str:
    """The update that this very config makes."""
    mesh = make_mesh(config.training.mesh)
    made = programs._programs.__wrapped__(config, CanvasCodec(**config.codec_arguments()), mesh)
    return made.update.lower(made.like, place_batch(config, mesh)).as_text()


def test_what_is_left_out_changes_nothing_that_an_update_computes(tiny_config):
    config = tiny_config(model={"depth": 1})
    other = dataclasses.replace(config, training=dataclasses.replace(config.training, **BESIDE))
    assert set(BESIDE) == {"steps", *programs._BESIDE}
    assert all(getattr(other.training, name) != getattr(config.training, name) for name in BESIDE)
    assert as_computed(other) == as_computed(config)
    assert lowered(other) == lowered(config)


def test_runs_that_compute_the_same_share_their_programs_and_no_others(tiny_config):
    def of(codec=(), **sections):
        config = tiny_config(codec=dict(codec), **sections)
        return programs_of(config, CanvasCodec(**config.codec_arguments()), make_mesh(config.training.mesh))

    longer = {"steps": 9, "checkpoint_every": 4}
    assert of(training=longer, sampling={"steps": 3}, evaluation={"canvases": 4}) is of()
    for changes in (
        {"training": {"seed": 1}},
        {"training": {"ema_decays": [0.9]}},
        {"training": {"decay": "cosine"}},
        {"codec": {"code": "radix:2:2"}},
        {"data": {"batch_size": 4}},
        {"diffusion": {"loss": "x"}},
    ):
        assert of(**changes) is not of(), changes
    assert of(training={"decay": "cosine", "steps": 9}) is not of(training={"decay": "cosine"})
