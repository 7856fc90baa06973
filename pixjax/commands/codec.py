"""`pixjax codec encode | decode | bench`: text to PNG canvases and back, and codes compared by
measurement.
"""

import argparse
import sys
from pathlib import Path

HELP = "paint text as PNG canvases, read it back, compare color codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="encode|decode|bench", required=True)
    encode = commands.add_parser("encode", help="text file to PNG canvases", allow_abbrev=False)
    encode.add_argument("--text-file", required=True, nargs="+", help="UTF-8; several are joined by EOS")
    encode.add_argument("--out", required=True, help="X.png; several canvases become X-0001.png, …")
    _add_codec_arguments(encode)
    encode.set_defaults(action=run_encode)

    decode = commands.add_parser(
        "decode",
        help="PNG canvases to text on stdout",
        description="Prints the text of canvases. The codec stands in the file; the flags are for files without one.",
        allow_abbrev=False,
    )
    decode.add_argument("files", nargs="+", metavar="X.png", help="pages are put in order")
    decode.add_argument("--tolerant", action="store_true", help="read changed pixels, and texts with missing pages")
    _add_codec_arguments(decode)
    decode.set_defaults(action=run_decode, prints_its_product=True)

    bench = commands.add_parser("bench", help="noise tolerance and speed of color codes", allow_abbrev=False)
    bench.add_argument(
        "--vocab", nargs="+", type=int, metavar="N", help="symbols (default: 27 256 8000 32000 50257 151936)"
    )
    bench.add_argument("--out", default="codec-bench", help="folder for bench.json and bench.png")
    bench.add_argument("--samples", type=int, default=400_000, help="Monte Carlo tokens a point")
    bench.add_argument("--seed", type=int, default=0)
    bench.set_defaults(action=run_bench)


def run(args: argparse.Namespace) -> int:
    return args.action(args)


def _add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", help="bytes (default), chars27, FILE.json, FILE.model, or a folder")
    parser.add_argument("--code", help="base256, or radix:LEVELS|auto:PIXELS[:counting|gray|permuted] (radix:auto:1)")
    parser.add_argument("--layout", help="raster (default) or patch")
    parser.add_argument("--canvas-size", type=int, help="pixels a side (64)")
    parser.add_argument("--patch-size", help="of the patch layout: 4 (default), or 1x16")
    parser.add_argument("--marker-size", type=int, help="pixels a side of the marker (1)")
    parser.add_argument("--no-marker", dest="marker", action="store_false", default=None, help="the canvas is text")
    parser.add_argument("--normalize", action="store_true", default=None, help="let the tokenizer rewrite the text")


def _codec_settings(args: argparse.Namespace) -> dict:
    """Only what was given: the codec knows the defaults."""
    names = ("tokenizer", "code", "layout", "canvas_size", "patch_size", "marker_size", "marker", "normalize")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def run_encode(args: argparse.Namespace) -> int:
    from pixjax.codec.canvas import CanvasCodec
    from pixjax.codec.coverage import bytes_instead, warn_lost
    from pixjax.codec.png import write_pages
    from pixjax.paths import local_path

    out = local_path(args.out, "--out")
    codec = CanvasCodec(**_codec_settings(args))
    files = [local_path(name, "--text-file") for name in args.text_file]
    texts = [_read_text(path) for path in files]
    for path, text in zip(files, texts, strict=True):
        warn_lost(codec.text_tokenizer, text, str(path), bytes_instead(codec.code, "--"))
    paths = write_pages(out, codec.encode(texts), codec)
    span = str(paths[0]) if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"
    print(f"{len(paths)} canvas{'es' if len(paths) > 1 else ''} of {codec.capacity:,} tokens: {span}")
    return 0


def _read_text(path: Path) -> str:
    from pixjax.errors import InputError

    try:
        return path.read_bytes().decode("utf-8")  # not read_text: line ends are part of the text
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (at byte {error.start:,}): convert it first, as with iconv") from None


def run_decode(args: argparse.Namespace) -> int:
    import numpy as np

    from pixjax.codec.canvas import CanvasCodec
    from pixjax.codec.modality import IMAGE
    from pixjax.codec.png import pages_by_text, read_page
    from pixjax.errors import InputError
    from pixjax.paths import local_path

    settings = _codec_settings(args)
    codec = CanvasCodec(**settings) if settings else None
    pages = [read_page(local_path(name, "the canvas"), codec, args.tolerant) for name in args.files]
    texts = []
    for stream in pages_by_text(pages, args.tolerant):
        decoded = stream[0].codec.decode(np.stack([page.canvas for page in stream]))
        if (decoded.modality != IMAGE).any():
            texts.append(decoded.text)
    if not texts:
        raise InputError(f"{args.files[0]} is a natural image by its marker: there is no text in it")
    text = "\n\n".join(texts)
    encoding = sys.stdout.encoding
    shown = text.encode(encoding, errors="replace").decode(encoding)
    if lost := sum(a != b for a, b in zip(text, shown, strict=False)):
        print(
            f"pixjax: {encoding} cannot represent {lost:,} characters, which are replaced: set PYTHONIOENCODING=utf-8 "
            "to have all of them",
            file=sys.stderr,
        )
    sys.stdout.write(shown)
    return 0


def run_bench(args: argparse.Namespace) -> int:
    from pixjax.codec.bench import run_bench
    from pixjax.paths import local_path

    return run_bench(vocab_sizes=args.vocab, out=local_path(args.out, "--out"), samples=args.samples, seed=args.seed)
