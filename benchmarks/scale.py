"""Memory of a training step when its state is split over devices, and the time to compile it by depth.

    python benchmarks/scale.py [--variant S --devices 8]

Nothing is trained: the figures are those of the compiled executable, on fake devices of one processor. Prints
the share of the state that one device holds with and without `fsdp`, and compile times of 4 and 16 blocks.
"""

import argparse
import dataclasses
import json
import os
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--variant", default="S")
parser.add_argument("--devices", type=int, default=8)
args = parser.parse_args()
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(args.devices),
    "JAX_ENABLE_COMPILATION_CACHE": "false",
}

import jax  # noqa: E402

from pixjax.codec import CanvasCodec  # noqa: E402
from pixjax.config import Config, MeshConfig  # noqa: E402
from pixjax.training.mesh import make_mesh  # noqa: E402
from pixjax.training.optimizer import make_optimizer  # noqa: E402
from pixjax.training.placement import jit_train_step, place_batch, place_state  # noqa: E402
from pixjax.training.state import make_model  # noqa: E402
from pixjax.training.step import make_train_step  # noqa: E402


def compile_step(depth: int, mesh_config: MeshConfig):
    """The compiled step, the bytes of its state, and the seconds it took."""
    config = Config()
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, variant=args.variant, depth=depth),
        data=dataclasses.replace(config.data, batch_size=args.devices),
    )
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    mesh = make_mesh(mesh_config)
    state = place_state(config, model, optimizer, mesh)
    step = jit_train_step(make_train_step(config, codec, model, optimizer), state, mesh)
    began = time.perf_counter()
    compiled = step.lower(state, place_batch(config, mesh)).compile()
    return compiled, sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)), time.perf_counter() - began


def main() -> None:
    result: dict[str, object] = {"variant": args.variant, "devices": args.devices}
    for name, mesh in (("data", MeshConfig()), ("fsdp", MeshConfig(data=1, fsdp=args.devices))):
        compiled, state_bytes, seconds = compile_step(4, mesh)
        held = compiled.memory_analysis().argument_size_in_bytes
        result[f"{name}_share_of_state_on_a_device"] = round(held / state_bytes, 3)
        result[f"{name}_compile_seconds_4_blocks"] = round(seconds, 1)
    _, _, seconds = compile_step(16, MeshConfig())
    result["data_compile_seconds_16_blocks"] = round(seconds, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
