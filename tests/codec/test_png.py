"""PNG canvases read themselves, and say so when they are no canvases (any more)."""

import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pixjax.cli import main
from pixjax.codec import IMAGE, CanvasCodec
from pixjax.codec.png import read_page, write_pages, write_png
from pixjax.codec.subword import train_bpe
from pixjax.errors import InputError

DARK = Image.new("RGBA", (32, 32), (0, 0, 0, 128))
TEXT = "Ein Text, 漢字\r\nzwei Zeilen "


@pytest.fixture
def page(tmp_path):
    codec = CanvasCodec("bytes", "radix:auto:2:gray", "patch", 32)
    path = tmp_path / "x.png"
    write_png(path, codec.encode(TEXT)[0], codec)
    return path


def resave(path, change, keep_chunks=True):
    """The same file after an image tool had it: `change` maps the picture to another."""
    with Image.open(path) as image:
        chunks = PngImagePlugin.PngInfo()
        for key, value in image.text.items() if keep_chunks else ():
            chunks.add_text(key, value)
        change(image.copy()).save(path, pnginfo=chunks)


def as_jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return Image.open(buffer).convert("RGB")


def test_a_page_needs_nothing_but_itself(page):
    read = read_page(page)
    assert read.codec == CanvasCodec("bytes", "radix:auto:2:gray", "patch", 32)
    assert read.codec.decode(read.canvas).text == TEXT


def test_a_page_carries_its_tokenizer(tmp_path):
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(train_bpe(["to be or not to be " * 4], vocab_size=264))
    codec = CanvasCodec(str(tokenizer), canvas_size=16)
    paths = write_pages(tmp_path / "p.png", codec.encode("not to be! " * 50), codec)
    tokenizer.unlink()
    assert len(paths) > 1
    pages = [read_page(path) for path in paths]
    assert [page.page for page in pages] == list(range(1, len(paths) + 1))
    assert pages[0].codec.decode(np.stack([page.canvas for page in pages])).text == "not to be! " * 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_jpeg, "not a canvas any more"),
        (lambda image: image.resize((64, 64)), "64 x 64 pixels, not 32 x 32"),
        (lambda image: image.crop((0, 0, 32, 31)), "32 x 31 pixels"),
        (lambda image: image.quantize(16), "not a canvas any more: its pixels, now 4-bit palette, were changed"),
        (lambda image: image.convert("L"), "now 8-bit grey, were changed"),
        (lambda image: Image.alpha_composite(image.convert("RGBA"), DARK), "now 8-bit RGB with alpha, were changed"),
        (lambda image: Image.fromarray(np.zeros((32, 32), np.uint16)), "now 16-bit grey, were changed"),
        (lambda image: image.resize((5000, 1)), "are the most"),
    ],
)
def test_a_page_that_was_changed_is_no_canvas(page, change, message):
    resave(page, change)
    with pytest.raises(InputError, match=message) as error:
        read_page(page)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "JPEG"}, "is a JPEG file, which is lossy and keeps neither the colours nor the codec"),
        ({"format": "WEBP"}, "is a file of WebP, which is mostly lossy and does not keep the codec"),
        ({"format": "GIF"}, "is no PNG file, as a canvas is"),
    ],
)
def test_another_kind_of_file_is_named_whatever_it_is_called(page, options, message):
    with Image.open(page) as image:
        image.save(page, **options)
    with pytest.raises(InputError, match=f"{message}.*: fetch the PNG file that was written") as error:
        read_page(page)
    assert "\n" not in str(error.value)


def png(rows, depth, colour, *chunks, interlaced=False, width=0):
    """The bytes of a PNG whose rows are packed already, written by the specification."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first column and row, and steps across and down
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b"".join(b"\0" + row[x::dx].tobytes() for x, y, dx, dy in passes for row in rows[y::dy])
    header = struct.pack(">IIBBBBB", width or rows.shape[1], rows.shape[0], depth, colour, 0, 0, int(interlaced))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def stored_anew(pixels, keep):
    """The same pixels in every way in which a PNG can store them."""
    kept = [(b"tEXt", key.encode() + b"\0" + value.encode("latin-1")) for key, value in keep.items()]
    alpha = np.random.default_rng(0).integers(0, 256, (*pixels.shape[:2], 1), np.uint8)
    of_palette, index = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(*pixels.shape[:2], 1).astype(np.uint8)
    palette, transparent = (b"PLTE", of_palette.tobytes()), (b"tRNS", bytes(range(len(of_palette))))
    yield "RGBA", png(np.concatenate([pixels, alpha], -1), 8, 6, *kept)
    yield "interlaced", png(pixels, 8, 2, *kept, interlaced=True)
    yield "16 bits", png((pixels.astype(">u2") * 257), 16, 2, *kept)
    yield "16 bits with alpha", png(np.concatenate([pixels, alpha], -1).astype(">u2") * 257, 16, 6, *kept)
    yield "one colour is transparent", png(pixels, 8, 2, (b"tRNS", pixels[-1, -1].astype(">u2").tobytes()), *kept)
    yield "palette", png(index, 8, 3, palette, *kept)
    yield "palette with transparency", png(index, 8, 3, palette, transparent, *kept)
    if (pixels[..., :1] == pixels).all():
        grey = pixels[..., :1]
        yield "grey", png(grey, 8, 0, *kept)
        yield "grey with alpha", png(np.concatenate([grey, alpha], -1), 8, 4, *kept)
        yield "16 bits of grey", png(grey.astype(">u2") * 257, 16, 0, *kept)
        yield "16 bits of grey with alpha", png(np.concatenate([grey, alpha], -1).astype(">u2") * 257, 16, 4, *kept)
        yield "1 bit", png(np.packbits(grey[..., 0] > 0, axis=1), 1, 0, *kept, width=pixels.shape[1])


def test_how_pixels_are_stored_does_not_matter(tmp_path, recwarn):
    """A page of few colours, and one that is grey: its ids have the same digit three times."""
    few, grey = CanvasCodec("chars27", "radix:3:1", canvas_size=32), CanvasCodec("bytes", "radix:2:3", canvas_size=32)
    ids = few.pack(few.tokenize("any text"))
    for codec, canvas, kinds in (
        (few, few.encode_ids(ids)[0], 7),
        (grey, np.where(np.arange(32 * 32 * 3).reshape(32, 32, 3) // 3 % 5 > 2, 255, 0).astype(np.uint8), 12),
    ):
        path = tmp_path / "x.png"
        canvas[0, 0] = 0  # the marker
        write_png(path, canvas, codec)
        with Image.open(path) as image:
            chunks = dict(image.text)
        names = []
        for name, data in stored_anew(canvas, chunks):
            path.write_bytes(data)
            np.testing.assert_array_equal(read_page(path).canvas, canvas, err_msg=name)
            names.append(name)
        assert len(names) == kinds
        path.write_bytes(dict(stored_anew(canvas, {}))["palette with transparency"])
        with pytest.raises(InputError, match="does not carry its codec"):
            read_page(path)
        np.testing.assert_array_equal(read_page(path, codec, tolerant=True).canvas, canvas)
    assert not recwarn


def test_changed_pixels_are_read_when_asked_for(page):
    resave(page, lambda image: Image.fromarray(np.clip(np.array(image).astype(int) + 5, 0, 255).astype(np.uint8)))
    read = read_page(page, tolerant=True)
    decoded = read.codec.decode(read.canvas)
    assert decoded.text == TEXT
    assert decoded.margin.min() < 1


def test_a_page_without_its_codec_needs_the_flags(page):
    resave(page, lambda image: image, keep_chunks=False)
    with pytest.raises(InputError, match="does not carry its codec"):
        read_page(page)
    codec = CanvasCodec("bytes", "radix:auto:2:gray", "patch", 32)
    assert codec.decode(read_page(page, codec).canvas).text == TEXT
    with pytest.raises(InputError, match="no colour of radix:5:2"):
        read_page(page, CanvasCodec("bytes", "radix:5:2", canvas_size=32))
    with pytest.raises(InputError, match="32 x 32 pixels, not 64 x 64"):
        read_page(page, CanvasCodec())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(page, share):
    data = page.read_bytes()
    page.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        read_page(page)


def test_flipped_bytes_never_end_in_anything_but_one_line(page):
    data = page.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for position in random.integers(0, len(data), 3):
            broken[position] ^= int(random.integers(1, 256))
        page.write_bytes(broken)
        try:
            read_page(page)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_a_compressed_bomb_in_a_chunk_is_refused(page):
    import base64
    import lzma

    bomb = base64.b64encode(lzma.compress(b"\0" * (200 << 20), preset=0)).decode()
    with Image.open(page) as image:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("pixjax:codec", image.text["pixjax:codec"])
        chunks.add_text("pixjax:file:tokenizer.json", bomb)
        image.copy().save(page, pnginfo=chunks)
    with pytest.raises(InputError, match="larger than 128 MiB"):
        read_page(page)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_commands_give_back_the_identical_bytes(tmp_path, capfdbinary):
    text = tmp_path / "t.txt"
    text.write_bytes("﻿Zeile\r\nline\n\n漢字 \t".encode() * 200)
    options = ("--code=radix:auto:2", "--layout=patch", "--canvas-size=32", "--patch-size=1x16")
    assert run("codec", "encode", "--text-file", text, "--out", tmp_path / "x.png", *options) == 0
    capfdbinary.readouterr()
    pages = sorted(tmp_path.glob("x-*.png"))
    assert len(pages) > 9
    assert run("codec", "decode", *pages) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == text.read_bytes()
    assert captured.err == b""


def test_decoding_works_from_a_shell(tmp_path):
    (tmp_path / "t.txt").write_bytes("naïve".encode())
    assert run("codec", "encode", "--text-file", tmp_path / "t.txt", "--out", tmp_path / "x.png") == 0
    command = [sys.executable, "-m", "pixjax", "codec", "decode", str(tmp_path / "x.png")]
    assert subprocess.run(command, capture_output=True, check=True, timeout=300).stdout == "naïve".encode()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("é", ("--tokenizer=chars27",), "chars27 cannot represent 'é'"),
        ("x", ("--code=radix:3:1",), "does not fit into 3 levels"),
        ("x", ("--layout=patch", "--code=radix:auto:17"), "does not fit into a patch"),
        ("x", ("--canvas-size=-4", "--no-marker"), "a canvas of -4 pixels a side"),
        ("x", ("--canvas-size=0", "--no-marker"), "a canvas of 0 pixels a side"),
        ("x", ("--out={}/x.jpg",), "does not end in .png"),
        (b"\xff", (), "is not UTF-8 (at byte 0)"),
        (None, (), "cannot be read"),
    ],
)
def test_wrong_input_to_encode_is_one_line_and_writes_nothing(tmp_path, capsys, content, options, message):
    path = tmp_path / "t.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = [option.format(tmp_path) for option in options]
    code = run("codec", "encode", "--text-file", path, "--out", tmp_path / "x.png", *options)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_pages_of_a_longer_text_are_not_mixed_with_new_ones(tmp_path, capsys):
    (tmp_path / "long.txt").write_text("x" * 5000)
    (tmp_path / "short.txt").write_text("x")
    assert run("codec", "encode", "--text-file", tmp_path / "long.txt", "--out", tmp_path / "x.png") == 0
    assert run("codec", "encode", "--text-file", tmp_path / "short.txt", "--out", tmp_path / "x.png") == 2
    assert "is left from another text" in capsys.readouterr().err


@pytest.fixture
def long_texts(tmp_path):
    """Two texts of several pages, and the pages' paths."""
    texts, paths = ["".join(f"{name}{i:05} " for i in range(600)) for name in "ab"], []
    for number, text in enumerate(texts):
        codec = CanvasCodec(canvas_size=32)
        paths.append(write_pages(tmp_path / f"{number}.png", codec.encode(text), codec))
    assert [len(of_text) for of_text in paths] == [5, 5]
    return texts, paths


def test_pages_are_read_in_their_order_however_they_were_given(long_texts, capfdbinary):
    (first, second), (a, b) = long_texts
    assert run("codec", "decode", b[3], a[4], a[1], b[0], b[4], a[0], a[2], b[1], a[3], b[2]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{second}\n\n{first}"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((0, 2, 4), "of a text of 5 pages, pages 2, 4 are missing: "),
        ((1, 2, 3, 4), "page 1 is missing"),
        ((0, 1, 2, 3, 4, 1), "page 2 is given twice"),
        ((0, 0, 1, 3, 4), "page 3 is missing and page 1 is given twice"),
    ],
)
def test_pages_missing_or_given_twice_are_named(long_texts, capfdbinary, chosen, message):
    (text, _), (paths, _) = long_texts
    files = [paths[number] for number in chosen]
    assert run("codec", "decode", *files) == 2
    captured = capfdbinary.readouterr()
    assert message in captured.err.decode()
    assert captured.out == b""
    assert run("codec", "decode", "--tolerant", *files) == 0
    capacity = CanvasCodec(canvas_size=32).capacity
    there = "".join(text[number * capacity : (number + 1) * capacity] for number in sorted(set(chosen)))
    assert capfdbinary.readouterr().out.decode() == there


def test_one_page_alone_is_read_by_itself(long_texts, capfdbinary):
    (text, _), (paths, _) = long_texts
    assert run("codec", "decode", paths[1]) == 0
    capacity = CanvasCodec(canvas_size=32).capacity
    assert capfdbinary.readouterr().out.decode() == text[capacity : 2 * capacity]


@pytest.mark.parametrize(
    "place", [{"page": "2"}, {"page": 0}, {"page": 3}, {"page": True}, {"pages": 2.0}, {"pages": None}, {"text_id": 7}]
)
def test_page_numbers_that_are_none_are_refused(page, place):
    with Image.open(page) as image:
        description = {**json.loads(image.text["pixjax:codec"]), "text_id": "x", "page": 1, "pages": 2, **place}
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("pixjax:codec", json.dumps(description))
        image.copy().save(page, pnginfo=chunks)
    with pytest.raises(InputError, match=r"says that it is page .* damaged") as error:
        read_page(page)
    assert "\n" not in str(error.value)


def test_a_number_of_pages_beyond_all_measure_is_told_at_once(page, tmp_path, capsys):
    codec = CanvasCodec(canvas_size=16)
    for number in (1, 2):
        write_png(tmp_path / f"{number}.png", codec.encode("x")[0], codec, text_id="x", page=number, pages=10**15)
    assert run("codec", "decode", tmp_path / "1.png", tmp_path / "2.png") == 2
    assert "pages 3, 4, 5, 6, 7 and 999,999,999,999,993 more are missing" in capsys.readouterr().err


def test_a_natural_image_has_no_text_to_print(tmp_path, capsys):
    codec = CanvasCodec(canvas_size=32)
    write_png(tmp_path / "i.png", codec.mark(np.full((32, 32, 3), 90, np.uint8), IMAGE), codec)
    assert run("codec", "decode", tmp_path / "i.png") == 2
    assert "is a natural image by its marker" in capsys.readouterr().err


def test_a_tokenizer_is_trained_from_the_command_line(tmp_path, capfd):
    (tmp_path / "t.txt").write_text("to be or not to be, that is the question " * 5)
    out = tmp_path / "tok.json"
    assert run("tokenizer", "train", "--text", tmp_path / "*.txt", "--vocab-size", 270, "--out", out) == 0
    assert CanvasCodec(str(out), canvas_size=16).vocab_size == 270
    assert run("tokenizer", "train", "--text", tmp_path / "none*", "--vocab-size", 270, "--out", out) == 2
    assert "matches no file" in capfd.readouterr().err
