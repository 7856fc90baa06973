"""Speed of painting ids and of reading them back, as ratios to copying the canvas bytes, in CPU time on one core.

    python benchmarks/codec.py [--canvases 4096]

The peer, measured in the same run, is `canvases.copy()` of a batch that does not fit into the cache. Ids are painted,
read back (`nearest_ids`), and read back with their margins (`decode_ids`); the canvases that are read are as they were
painted. Exit code 1 when a ratio is below a tenth, or with margins below a twentieth.
"""

import argparse
import json
import os
import sys

import numpy as np

from pixjax.codec import CanvasCodec
from pixjax.codec.bench import fastest

FLOORS = {"encode": 0.1, "decode": 0.1, "decode_with_margins": 0.05}
CODES = (
    ("chars27", "radix:3:1"),
    ("bytes", "base256"),
    *(("bytes", f"radix:auto:{pixels}{order}") for pixels in (1, 2, 3) for order in ("", ":gray", ":permuted")),
    *(("bytes", f"radix:2:{pixels}{order}") for pixels in (4, 6) for order in ("", ":gray")),
)
CODECS = tuple(
    {"tokenizer": tokenizer, "code": code, "layout": layout}
    for tokenizer, code in CODES
    for layout in ("raster", "patch")
)


def measure(settings: dict, canvases: int, rounds: int) -> dict:
    """The median ratio of several rounds, each of which times the copy and the work back to back."""
    codec = CanvasCodec(**settings)
    ids = np.random.default_rng(0).integers(0, codec.vocab_size, (canvases, codec.capacity), dtype=np.int32)
    painted = codec.encode_ids(ids)
    assert np.array_equal(codec.nearest_ids(painted), ids)
    works = {
        "encode": lambda: codec.encode_ids(ids),
        "decode": lambda: codec.nearest_ids(painted),
        "decode_with_margins": lambda: codec.decode_ids(painted),
    }
    ratios, gigabytes = {name: [] for name in works}, []
    for _ in range(rounds):
        copy = fastest(painted.copy, repeats=2)
        for name, work in works.items():
            ratios[name].append(copy / fastest(work, repeats=2))
        gigabytes.append(painted.nbytes / copy / 1e9)
    return {
        **settings,
        "copy_gigabytes_per_second": round(float(np.median(gigabytes)), 2),
        **{name: round(float(np.median(values)), 3) for name, values in ratios.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canvases", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = []
    for settings in CODECS:
        results.append(measure(settings, args.canvases, args.rounds))
        print(json.dumps(results[-1]), flush=True)
    slowest = {name: min(result[name] for result in results) for name in FLOORS}
    for name, floor in FLOORS.items():
        print(f"{name}: slowest ratio {slowest[name]:.3f}, wanted {floor} or more")
    return int(any(slowest[name] < floor for name, floor in FLOORS.items()))


if __name__ == "__main__":
    sys.exit(main())
