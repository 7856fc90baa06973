"""Speed of the input pipeline, each figure a ratio to a peer that is measured in the same run, turn by turn.

    python benchmarks/data.py [--images FILE.zip] [--text FILE] [--workers 0 2] [--batches 40]

1. Encoded pictures and text: canvases a second of `make_batches` over those of a `torch.utils.data.DataLoader` whose
   map-style dataset does the same work for each item (read, decode, resize, flip; cut a window, tokenize, paint), with
   as many workers. Wanted: 3. Left out where PyTorch is not installed.
2. Prepared shards: canvases a second, and their bytes a second over those of reading the same shard files at the same
   places into one array and nothing else. Wanted: 20,000 canvases a second, or half the bytes.
3. Memory: what this process, which makes the batches, has grown by between record 20,000 and record 100,000.

Without --images and --text the material is that of demo:images, as JPEGs, and of demo:text.
"""

import argparse
import io
import json
import os
import pathlib
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.config import Config, DataConfig
from pixjax.data import make_batches, open_source
from pixjax.data.demo import demo_documents
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.shards import Manifest
from pixjax.data.sources import text_documents
from pixjax.data.uri import SourceUri

BATCH = 256  # the default of a config
ROUNDS = 3


def write_demo_material(folder: pathlib.Path) -> tuple[str, str]:
    tiles = open_source("demo:images", canvas_size=64)
    with zipfile.ZipFile(folder / "tiles.zip", "w") as archive:
        for number, picture in enumerate(tiles.load(range(len(tiles)))):
            file = io.BytesIO()
            Image.fromarray(picture.pixels).save(file, "JPEG", quality=90)
            archive.writestr(f"{number:04}.jpg", file.getvalue())
    (folder / "text.txt").write_text("\n".join(demo_documents()))
    return str(folder / "tiles.zip"), str(folder / "text.txt")


def make_peer(images: str, text: str, workers: int):
    """A DataLoader as one would write it: items by index, half of them text, shuffled, batched by default_collate."""
    import torch

    files = open_source(f"images:{images}", canvas_size=64).files  # type: ignore[union-attr]
    letters, codec = "\n".join(text_documents(SourceUri("text", text))), CanvasCodec()

    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 2 * len(files.names)

        def __getitem__(self, index):
            rng = np.random.default_rng(index)
            if index % 2:
                start = int(rng.integers(len(letters) - codec.capacity))
                ids = codec.tokenize(letters[start : start + codec.capacity])[None, : codec.capacity]
                ids = np.pad(ids, ((0, 0), (0, codec.capacity - ids.shape[1])), constant_values=codec.pad_id)
                canvas, mask, modality = codec.encode_ids(ids)[0], codec.loss_mask(ids)[0], 0
            else:
                image = Image.open(io.BytesIO(files.read(index // 2))).convert("RGB")
                if min(image.size) != 64:
                    scale = 64 / min(image.size)
                    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
                canvas = np.asarray(image)[:64, :64]
                canvas = codec.mark(canvas[:, ::-1] if rng.random() < 0.5 else canvas, 1)
                mask, modality = np.ones((64, 64), bool), 1
            return {"canvas": np.ascontiguousarray(canvas), "modality": modality, "loss_mask": mask}

    return torch.utils.data.DataLoader(Items(), BATCH, shuffle=True, num_workers=workers, drop_last=True)


def canvases_per_second(batches: Iterator, count: int) -> float:
    next(batches)  # workers have started
    began = time.perf_counter()
    for _ in range(count):
        next(batches)["canvas"]
    return count * BATCH / (time.perf_counter() - began)


def repeated(loader) -> Iterator:
    while True:
        yield from loader


def make_config(*sources: str, workers: int = 0) -> Config:
    return Config(data=DataConfig(sources=sources, batch_size=BATCH, workers=workers))


def ours(config: Config, count: int) -> float:
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        return canvases_per_second(batches, count)


def compare(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of the ratio of neighbours in time."""
    pairs = [(one(), other()) for _ in range(ROUNDS)]
    return (*np.median(pairs, 0).tolist(), float(np.median([a / b for a, b in pairs])))


def measure_encoded(images: str, text: str, workers: int, count: int) -> dict:
    config = make_config(f"images:{images}", f"text:{text}", workers=workers)
    peer = make_peer(images, text, workers)
    mine, theirs, ratio = compare(lambda: ours(config, count), lambda: canvases_per_second(repeated(peer), count))
    return {"encoded": "pixjax/torch", "workers": workers, "canvases/s": mine, "peer": theirs, "ratio": ratio}


def measure_shards(folder: pathlib.Path, workers: int, count: int) -> dict:
    paths = [folder / shard.file for shard in Manifest.load(folder).shards]
    size = 64 * 64 * 3

    def copy() -> float:
        rng, out = np.random.default_rng(0), np.empty((BATCH, size), np.uint8)
        descriptors = [os.open(path, os.O_RDONLY) for path in paths]
        lengths = [path.stat().st_size for path in paths]
        which = rng.integers(len(paths), size=(count, BATCH))
        places = rng.integers(np.array(lengths)[which] - size)
        began = time.perf_counter()
        for files, starts in zip(which.tolist(), places.tolist(), strict=True):
            for row, (file, start) in enumerate(zip(files, starts, strict=True)):
                out[row] = np.frombuffer(os.pread(descriptors[file], size, start), np.uint8)
            out.copy()
        seconds = time.perf_counter() - began
        for descriptor in descriptors:
            os.close(descriptor)
        return count * BATCH / seconds

    config = make_config(f"array_record:{folder}", workers=workers)
    mine, theirs, ratio = compare(lambda: ours(config, count), copy)
    return {"shards": "pixjax/read+copy", "workers": workers, "canvases/s": mine, "peer": theirs, "ratio": ratio}


def measure_memory(images: str, text: str) -> dict:
    config = make_config(f"images:{images}", f"text:{text}")
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        sizes = []
        for step in range(100_000 // BATCH + 1):
            next(batches)
            if step == 20_000 // BATCH:
                sizes.append(resident())
        sizes.append(resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"memory": "MiB", "at 20,000": sizes[0], "at 100,000": sizes[1], "grown": sizes[1] - sizes[0], "peak": peak}


def resident() -> float:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="a zip of pictures")
    parser.add_argument("--text", help="a .txt or .jsonl file, gzipped or not")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--batches", type=int, default=40, help="in each of three rounds")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        images, text = write_demo_material(folder)
        images, text = args.images or images, args.text or text
        prepare(plan_preparation(f"images:{images}", str(folder / "shards")))
        try:
            import torch
        except ImportError:
            print("PyTorch is not installed: pip install torch adds the comparison with its DataLoader")
        else:
            torch.set_num_threads(1)
            for workers in args.workers:
                print(json.dumps(measure_encoded(images, text, workers, args.batches)), flush=True)
        for workers in args.workers:
            print(json.dumps(measure_shards(folder / "shards", workers, 4 * args.batches)), flush=True)
        print(json.dumps(measure_memory(images, text)), flush=True)


if __name__ == "__main__":
    main()
