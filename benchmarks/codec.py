"""Speed of painting ids and of reading them back, as ratios to copying the canvas bytes, in CPU time on one core.

    python benchmarks/codec.py [--canvases 4096]

The peer, measured in the same run, is `canvases.copy()` of a batch that does not fit into the cache. Exit code 1 when a
ratio is below a tenth.
"""

import argparse
import json
import os
import sys

import numpy as np

from pixjax.codec import CanvasCodec
from pixjax.codec.bench import fastest

FLOOR = 0.1
CODECS = (
    {"tokenizer": "bytes", "code": "radix:auto:1"},
    {"tokenizer": "chars27", "code": "radix:3:1"},
    {"tokenizer": "bytes", "code": "base256"},
    {"tokenizer": "bytes", "code": "radix:auto:2", "layout": "patch"},
    {"tokenizer": "bytes", "code": "radix:auto:1:gray"},
)


def measure(settings: dict, canvases: int, rounds: int) -> dict:
    """The best ratio of several rounds, each of which times the copy and the work back to back."""
    codec = CanvasCodec(**settings)
    ids = np.random.default_rng(0).integers(0, codec.vocab_size, (canvases, codec.capacity), dtype=np.int32)
    painted = codec.encode_ids(ids)
    assert np.array_equal(codec.nearest_ids(painted), ids)
    encode, decode, gigabytes = [], [], []
    for _ in range(rounds):
        copy = fastest(painted.copy, repeats=2)
        encode.append(copy / fastest(lambda: codec.encode_ids(ids), repeats=2))
        decode.append(copy / fastest(lambda: codec.nearest_ids(painted), repeats=2))
        gigabytes.append(painted.nbytes / copy / 1e9)
    return {
        **settings,
        "copy_gigabytes_per_second": round(float(np.median(gigabytes)), 2),
        "encode_over_copy": round(float(np.median(encode)), 3),
        "decode_over_copy": round(float(np.median(decode)), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canvases", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = [measure(settings, args.canvases, args.rounds) for settings in CODECS]
    for result in results:
        print(json.dumps(result))
    slowest = min(min(r["encode_over_copy"], r["decode_over_copy"]) for r in results)
    print(f"slowest ratio {slowest:.3f}, wanted {FLOOR} or more")
    return 0 if slowest >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
