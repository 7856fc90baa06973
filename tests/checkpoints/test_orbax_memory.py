"""What a save leaves behind in memory, in objects of Python: the size of the process is too coarse for a test."""

import gc
import itertools
import statistics
import sys

import jax.numpy as jnp
import pytest
import tensorstore as ts
from etils import epath
from orbax.checkpoint._src.serialization import jax_array_handlers, tensorstore_utils

from pixjax.checkpoints import orbax_memory
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.codec import CanvasCodec
from pixjax.training.state import TrainState

ARRAYS = 48  # of a save


@pytest.fixture
def orbax(monkeypatch):
    """Orbax with tensorstore as it is, whatever was saved before."""
    for module in (jax_array_handlers, tensorstore_utils):
        monkeypatch.setattr(module, "ts", ts)


def test_a_save_leaves_less_than_one_object_an_array(orbax, tmp_path, tiny_config):
    config = tiny_config(training={"keep_checkpoints": 1})
    codec = CanvasCodec(**config.codec_arguments())
    tree = {f"layer_{i}": {"kernel": jnp.full((4, 4), i, jnp.float32)} for i in range(ARRAYS // 3)}
    counts = []
    gc.freeze()  # else all that the tests before have left is looked through after every save
    with CheckpointWriter(epath.Path(tmp_path), keep=config.training) as checkpoints:
        for step in range(14):
            state = TrainState(step=jnp.int32(step), params=tree, opt_state=tree, ema={"0.9": tree})
            checkpoints.save(state, {"batches": {"next_step": step}}, config, codec)
            checkpoints.wait()
            gc.collect()
            counts.append(sys.getallocatedblocks())
    grown = [after - before for before, after in itertools.pairwise(counts)]
    assert statistics.median(grown[-7:]) < ARRAYS  # the first saves fill caches


@pytest.mark.parametrize("folder", ["/a/3/params", "/a b/'é漢\"/%20*?[]{}~@/3/params", "gs://bucket/a/3/params"])
def test_orbax_writes_where_it_would_write_else(orbax, monkeypatch, folder):
    def places():
        process = tensorstore_utils.OcdbtProcessSpec(process_id="0")
        return [
            tensorstore_utils.build_kvstore_tspec(folder, name="layer.kernel", ocdbt_process_spec=process),
            tensorstore_utils.build_kvstore_tspec(folder),
        ]

    before = places()
    monkeypatch.setattr(orbax_memory, "_json_stays_in_memory", lambda: True)
    orbax_memory.answer_orbax_without_json()
    assert tensorstore_utils.ts is not ts
    assert places() == before


def test_a_tensorstore_that_frees_what_it_tells_is_left_alone(orbax, monkeypatch):
    class Spec(dict):
        def to_json(self):
            return {"driver": "memory", "path": " ".join(["made", "for", "this", "call"])}

    monkeypatch.setattr(ts.KvStore, "Spec", Spec)
    orbax_memory.answer_orbax_without_json()
    assert tensorstore_utils.ts is ts
    assert jax_array_handlers.ts is ts
