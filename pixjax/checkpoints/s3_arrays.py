"""Arrays of checkpoints on `s3://`, for which tensorstore has a driver and orbax has none.

An array is a folder of objects below its item, `NAME/zarr.json` and `NAME/c/…`, in the layout that orbax itself gives
arrays without OCDBT: what is copied to a disk is read there as it is. Each process writes the shards that it holds, and
reads those that it wants.
"""

import asyncio
import math
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future
from orbax.checkpoint.type_handlers import ArrayRestoreArgs, ParamInfo, RestoreArgs, SaveArgs, TypeHandler

from pixjax.stores import s3_service

_CHUNK_BYTES = 2**28  # an object is put by one request, which takes 5 GiB at most, and several go side by side
_Shard = tuple[Any, np.ndarray]  # where it lies in its array, and its content


def is_on_s3(path: epath.Path) -> bool:
    return str(path).startswith("s3://")


def s3_array_options() -> dict[str, Any]:
    """For a `PyTreeCheckpointHandler` whose arrays are on S3."""
    handlers = ocp.type_handlers.create_type_handler_registry(
        (jax.Array, S3Arrays("jax.Array")), (np.ndarray, S3Arrays("np.ndarray"))
    )
    return {"use_ocdbt": False, "use_zarr3": True, "type_handler_registry": handlers}


class S3Arrays(TypeHandler):
    """Writes and reads the arrays of an item."""

    def __init__(self, type_name: str):
        """`type_name` is orbax's, which it keeps beside an array to know how to read it."""
        self._type_name = type_name

    def typestr(self) -> str:
        return self._type_name

    async def serialize(
        self, values: Sequence[jax.Array], infos: Sequence[ParamInfo], args: Sequence[SaveArgs] | None = None
    ) -> Sequence[Future]:
        """Returns when this process's shards are in host memory; the future is done when they are in the store."""
        shards = _copied_to_host(values)
        specs = [_written_as(value) for value in values]
        return [CommitFutureAwaitingContractedSignals(_write_all(infos, specs, shards), name="s3_arrays")]

    async def deserialize(
        self, infos: Sequence[ParamInfo], args: Sequence[RestoreArgs] | None = None
    ) -> Sequence[jax.Array | np.ndarray]:
        """In the shardings of `args`; an array without one is read whole, into host memory."""
        shardings = [arg.sharding if isinstance(arg, ArrayRestoreArgs) else None for arg in args or [None] * len(infos)]
        return await _all(_read(info, sharding) for info, sharding in zip(infos, shardings, strict=True))

    async def metadata(self, infos: Sequence[ParamInfo]) -> Sequence[ocp.metadata.ArrayMetadata]:
        found = await _all(_open(info) for info in infos)
        return [
            ocp.metadata.ArrayMetadata(
                name=info.name,
                directory=info.parent_dir,
                shape=stored.shape,
                sharding=None,
                dtype=stored.dtype.numpy_dtype,
            )
            for info, stored in zip(infos, found, strict=True)
        ]


def _copied_to_host(values: Sequence[jax.Array]) -> list[list[_Shard]]:
    """Of each array what this process writes: each shard is somewhere the first of its replicas."""
    first = [[shard for shard in value.addressable_shards if shard.replica_id == 0] for value in values]
    for shards in first:
        for shard in shards:
            shard.data.copy_to_host_async()
    return [[(shard.index, np.asarray(shard.data)) for shard in shards] for shards in first]


def _written_as(value: jax.Array) -> dict[str, Any]:
    """What tensorstore is told of a new array. Chunks part shards evenly: no two processes write one chunk."""
    chunks = _chunk_shape(value.sharding.shard_shape(value.shape), value.dtype.itemsize)
    return {
        "metadata": {
            "shape": value.shape,
            "data_type": value.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "codecs": [{"name": "zstd", "configuration": {"level": 1}}],
        },
        "store_data_equal_to_fill_value": True,  # a shard of zeros too: what is missing is damage
    }


def _chunk_shape(shape: Sequence[int], itemsize: int) -> list[int]:
    """A divisor of each axis, cut from the first axis on until a chunk is small enough."""
    chunks = [max(size, 1) for size in shape]
    for axis, size in enumerate(chunks):
        fewest = -(-itemsize * math.prod(chunks) // _CHUNK_BYTES)
        chunks[axis] = next((size // pieces for pieces in range(fewest, size) if size % pieces == 0), 1)
    return chunks


async def _write_all(
    infos: Sequence[ParamInfo], specs: Sequence[dict[str, Any]], shards: Sequence[Sequence[_Shard]]
) -> None:
    await _all(info.await_path_creation() for info in infos)  # before it, an old attempt is deleted
    await _all(_write(*array) for array in zip(infos, specs, shards, strict=True))


async def _write(info: ParamInfo, spec: dict[str, Any], shards: Sequence[_Shard]) -> None:
    describes = jax.process_index() == 0  # the others take for given what it writes of the array
    stored = await ts.open(
        ts.Spec(_spec(info) | spec),
        open=True,
        create=describes,
        assume_metadata=not describes,
        context=info.ts_context,
    )
    writes = [stored[index].write(data, can_reference_source_data_indefinitely=True) for index, data in shards]
    await _all(writes)


async def _open(info: ParamInfo) -> ts.TensorStore:
    await info.await_path_creation()
    return await ts.open(ts.Spec(_spec(info)), open=True, context=info.ts_context)


async def _read(info: ParamInfo, sharding: jax.sharding.Sharding | None) -> jax.Array | np.ndarray:
    stored = await _open(info)
    if sharding is None:
        return await stored.read()
    places = sharding.addressable_devices_indices_map(stored.shape)
    wanted = {str(index): index for index in places.values()}  # replicas are read once
    contents = await _all(stored[index].read() for index in wanted.values())
    read = dict(zip(wanted, contents, strict=True))
    parts = [jax.device_put(read[str(index)], device) for device, index in places.items()]
    return jax.make_array_from_single_device_arrays(stored.shape, sharding, parts)


async def _all(awaited: Iterable[Awaitable[Any]]) -> list[Any]:
    """Raises the first failure when all have ended: what goes on past the event loop ends in tracebacks."""
    results = await asyncio.gather(*awaited, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _spec(info: ParamInfo) -> dict[str, Any]:
    """Where an array is. With OCDBT, as orbax writes it on disks, in a workdir that was copied from there."""
    bucket, _, path = str(info.parent_dir).removeprefix("s3://").partition("/")
    base: dict[str, Any] = {"driver": "s3", "bucket": bucket, **s3_service()}
    if info.is_ocdbt_checkpoint:
        kvstore = {"driver": "ocdbt", "base": base | {"path": f"{path}/"}, "path": info.name}
    else:
        kvstore = base | {"path": f"{path}/{info.name}"}
    return {
        "driver": "zarr3" if info.use_zarr3 else "zarr",
        "kvstore": kvstore,
        "recheck_cached_data": False,
        "recheck_cached_metadata": False,
        "fill_missing_data_reads": False,
    }
