"""Items of a checkpoint that are trees of arrays: orbax's handler for a workdir, and what it is asked for."""

from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from pixjax.checkpoints.event_loops import drained_event_loops
from pixjax.checkpoints.orbax_memory import answer_orbax_without_json
from pixjax.checkpoints.s3_arrays import is_on_s3, s3_array_options


def array_handler(path: epath.Path, **options: Any) -> ocp.PyTreeCheckpointHandler:
    """What writes and reads the arrays of a workdir, or of an item in one. `options` are the handler's own."""
    answer_orbax_without_json()
    where = s3_array_options() if is_on_s3(path) else {}
    return ocp.PyTreeCheckpointHandler(**where, **options)


def restore_args(tree: Any) -> ocp.args.PyTreeRestore:
    """Asks for the arrays of a tree with its dtypes, shapes and shardings, be they arrays or `ShapeDtypeStruct`s."""
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
    return ocp.args.PyTreeRestore(abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract))


def arrays_on_host(item: epath.Path) -> Any:
    """The arrays of an item in this process's memory; it waits for no other process.

    Raises: whatever orbax and tensorstore stumble over, of an item that is damaged or out of reach.
    """
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"read-{this}"
    )
    handler = array_handler(item, multiprocessing_options=alone)
    with drained_event_loops(), ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        described = checkpointer.metadata(item).item_metadata
        if described is None:  # orbax says no more of what it cannot read
            raise FileNotFoundError("a file that says what arrays it has is missing or damaged")
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), described.tree)
        return checkpointer.restore(item, restore_args=as_numpy)
