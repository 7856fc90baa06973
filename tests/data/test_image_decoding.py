import io
import json

import numpy as np
import pytest
from PIL import Image

from pixjax.data import images
from pixjax.data.images import CAUSES, BadImage, crop_into, decode_image, decode_plain_jpeg
from pixjax.data.sources import open_source

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

# Every value of a smooth ramp in both directions, so that a turned or mirrored copy is unlike the original.
RAMP = np.stack(
    [
        np.broadcast_to(np.linspace(0, 255, 96)[None, :], (64, 96)),
        np.broadcast_to(np.linspace(0, 255, 64)[:, None], (64, 96)),
        np.full((64, 96), 60.0),
    ],
    -1,
).astype(np.uint8)


def encoded(image, kind: str = "PNG", **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def outcome(data: bytes, pixels: bool = False):
    """The shape of what was decoded, or the pixels, or the cause why it was not."""
    try:
        decoded = decode_image(data, 64)
        return decoded if pixels else decoded.shape
    except BadImage as bad:
        return bad.cause if "\n" not in bad.detail else "two lines"


def difference(a, b) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


def test_pixels_of_the_right_size_are_left_as_they_are():
    assert (decode_image(encoded(RAMP), 64) == RAMP).all()


@pytest.mark.parametrize(("size", "shape"), [((96, 64), (64, 96)), ((640, 320), (64, 128)), ((7, 21), (192, 64))])
def test_the_short_side_is_resized_and_the_shape_kept(size, shape):
    assert decode_image(encoded(Image.new("RGB", size)), 64).shape == (*shape, 3)


def test_shrinking_is_antialiased():
    checkerboard = np.indices((640, 640)).sum(0) % 2 * 255
    shrunk = decode_image(encoded(checkerboard.astype(np.uint8)), 64)
    assert 120 < shrunk.min() <= shrunk.max() < 135  # picking single pixels would leave black or white


def test_a_large_jpeg_decoded_at_a_fraction_looks_like_the_whole_one_resized():
    photograph = Image.fromarray(RAMP).resize((960, 640), Image.Resampling.BICUBIC)
    assert difference(decode_image(encoded(photograph, "JPEG", quality=95), 64), RAMP) < 2


def test_of_a_long_strip_the_middle_is_kept():
    strip = Image.new("RGB", (8000, 10))
    strip.paste((255, 255, 255), (3960, 0, 4040, 10))
    pixels = decode_image(encoded(strip), 64)
    assert pixels.shape == (64, 1024, 3)
    assert pixels[:, 450:570].mean() > 250
    assert pixels[:, :200].max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_exif_orientation_comes_out_upright(orientation, kind):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transposes of Pillow that lay an upright image down
    image = Image.fromarray(RAMP)
    if orientation > 1:
        image = image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind != "PNG" else {}
    assert difference(decode_image(encoded(image, kind, exif=exif, **options), 64), RAMP) < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    kind = {"CMYK": "TIFF", "YCbCr": "TIFF", "LAB": "TIFF", "F": "TIFF", "I": "TIFF"}.get(mode, "PNG")
    grey = np.broadcast_to(np.linspace(0, 255, 64)[None, :], (64, 64))
    if mode in ("I;16", "I"):
        image = Image.fromarray((grey * 257).astype(np.uint16 if mode == "I;16" else np.int32))
    elif mode == "F":
        image = Image.fromarray((grey / 255).astype(np.float32))
    elif mode == "LAB":
        image = Image.merge("LAB", [Image.fromarray(grey.astype(np.uint8)), *[Image.new("L", (64, 64), 128)] * 2])
    else:
        image = Image.fromarray(grey.astype(np.uint8))
        image = image.convert(mode) if mode in ("1", "P") else image.convert("RGB").convert(mode)
    assert image.mode == mode
    pixels = decode_image(encoded(image, kind), 64)
    # One bit is dithered, and Lab lightness is not linear: those agree in the large only.
    apart = difference(pixels.mean((0, 2)), grey[0])
    assert apart < {"1": 40, "LAB": 20}.get(mode, 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composed_over_white(mode):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 32, 64))
    pixels = decode_image(encoded(image.convert(mode)), 64)
    assert (pixels[:, :32].max(), pixels[:, 32:].min()) == (0, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decode_image(data, 64).reshape(-1, 3).tolist() == [[255, 0, 0]] * 64 * 64


def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded():
    data = encoded(Image.new("1", (3000, 3000)))
    with pytest.raises(BadImage, match="3000x3000 pixels, more than 1000000") as caught:
        decode_image(data, 64, max_pixels=1_000_000)
    assert caught.value.cause == "too_large"


PLAIN_JPEGS = {
    "colour": (RAMP, {}),
    "grey": (RAMP[..., 0], {}),
    "progressive": (RAMP, {"progressive": True}),
    "4:4:4": (RAMP, {"subsampling": 0}),
    "comment": (RAMP, {"comment": b"a ramp"}),
    "tall": (RAMP.swapaxes(0, 1), {"quality": 30}),
    "to be enlarged": (RAMP[:20, :30], {}),
    "to be shrunk": (np.tile(RAMP, (3, 3, 1)), {}),
}


def as_opened(monkeypatch, data):
    """What `outcome` is, and the pixels, without the short cut for plain JPEGs."""
    with monkeypatch.context() as patch:
        patch.setattr(images, "decode_plain_jpeg", lambda data, below: None)
        return outcome(data, pixels=True)


@pytest.mark.parametrize("name", PLAIN_JPEGS)
def test_plain_jpegs_are_read_as_pillow_opens_them_whole_or_damaged(name, monkeypatch):
    image, options = PLAIN_JPEGS[name]
    whole = encoded(np.ascontiguousarray(image), "JPEG", **options)
    assert decode_plain_jpeg(whole, below=256) is not None
    rng = np.random.default_rng(0)
    cut = [whole[:length] for length in rng.integers(0, len(whole), 20)]
    places = rng.integers(0, len(whole), 40)
    changed = [whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in places]
    for data in (whole, *cut, *changed):
        assert np.array_equal(outcome(data, pixels=True), as_opened(monkeypatch, data))


def test_only_plain_jpegs_take_the_short_cut():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(RAMP)
    for data in (
        encoded(image, "JPEG", exif=exif),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "JPEG", icc_profile=b"x" * 200),
        encoded(Image.new("RGB", (256, 256)), "JPEG"),
        encoded(image, "PNG"),
        b"",
        b"\xff\xd8",
        b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9,
    ):
        assert decode_plain_jpeg(data, below=256) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_no_prefix_of_a_file_escapes_as_another_error(kind):
    data = encoded(Image.fromarray(RAMP), kind)
    for length in np.linspace(0, len(data) - 1, 25).astype(int):
        assert outcome(data[:length]) in ((64, 96, 3), *CAUSES)


def test_no_flipped_byte_of_a_file_escapes_as_another_error():
    whole = encoded(Image.fromarray(RAMP), "JPEG")
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        result = outcome(bytes(data))
        assert result in CAUSES or min(result[:2]) == 64


def crop(pixels, size, across, flip):
    out = np.empty((size, size, 3), np.uint8)
    crop_into(out, pixels, across, flip)
    return out


def test_crop_goes_from_one_end_of_the_long_side_to_the_other():
    lefts = [int(crop(RAMP, 64, across, False)[0, 0, 0]) for across in np.linspace(0, 0.999, 33)]
    assert lefts == sorted(lefts)
    assert lefts[0] == RAMP[0, 0, 0]
    assert lefts[-1] == RAMP[0, 32, 0]
    tall = RAMP.swapaxes(0, 1)
    assert (crop(tall, 64, 0.999, False) == tall[32:]).all()


def test_flip_mirrors_left_and_right():
    assert (crop(RAMP, 64, 0.0, True) == RAMP[:, 63::-1]).all()


def test_hard_images_decode_or_are_skipped_as_their_manifest_says(shared_data):
    folder = shared_data / "images" / "hard-images"
    source = open_source(f"images:{folder / 'hard_images.zip'}", canvas_size=64)
    promised = {line["file"]: line for line in map(json.loads, (folder / "manifest.jsonl").open())}
    assert {source.name(i) for i in range(len(source))} == set(promised)
    for record, picture in enumerate(source.load(range(len(source)))):
        entry = promised[source.name(record)]
        if entry["open"] == entry.get("load") == "ok":
            turned = (entry["exif_orientation"] or 1) >= 5
            width, height = entry["size"][::-1] if turned else entry["size"]
            scale = 64 / min(width, height)
            expected = [min(round(side * scale), 1024) for side in (height, width)]
            assert list(picture.pixels.shape) == [*expected, 3], entry["file"]
        else:
            error = entry.get("load", entry["open"])
            bomb = "Bomb" in error or "too large" in error
            cause = (
                "too_large"
                if bomb
                else "truncated"
                if "truncated" in error
                else "unreadable"
                if entry["open"] != "ok"
                else "corrupt"
            )
            assert isinstance(picture, BadImage), entry["file"]
            assert picture.cause == cause, entry["file"]


def test_the_hopper_files_show_one_upright_face(shared_data):
    source = open_source(f"images:{shared_data}/images/hard-images/hard_images.zip", canvas_size=64)
    pictures = dict(zip(source.files.names, source.load(range(len(source))), strict=True))
    upright = pictures["hopper_idat_after_image_end.png"].pixels
    colour = [name for name in pictures if name.startswith("hopper_orientation") or "qtables" in name]
    assert len(colour) >= 4
    for name in [*colour, "hopper.Lab.tif"]:
        assert difference(pictures[name].pixels, upright) < 8 < difference(upright[::-1], upright) / 4, name
    grey = upright @ [0.299, 0.587, 0.114]
    for name in ("hopper_16bit.pgm", "hopper.pfm"):
        assert difference(pictures[name].pixels, np.repeat(grey[..., None], 3, -1)) < 6, name
