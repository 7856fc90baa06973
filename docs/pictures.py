"""Make the pictures of the README and the documentation from the bundled demo data.

python docs/pictures.py
"""

import itertools
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixjax import CanvasCodec
from pixjax.codec import IMAGE, TEXT, parse_code, to_float, to_uint8
from pixjax.data import open_source
from pixjax.data.demo import demo_documents

IMAGES = pathlib.Path(__file__).parent / "images"
SCALE = 6
LETTERS = 8  # pixels a side of the first patch, which is shown with its letters
GAP = 24
TITLE = 36  # height of the line above a picture
TIMES = (0.3, 0.6, 0.85, 0.95)
CODES = ("radix:3:1", "radix:7:1", "base256")  # as letters, then as bytes


def a_document() -> str:
    return next(d for d in demo_documents() if d.startswith("Assignment statements"))


def a_photograph(side: int) -> np.ndarray:
    return open_source("demo:images", canvas_size=side).load([0])[0].pixels


def sheet(pictures: list[np.ndarray], titles: list[str], *, columns: int, side: int) -> Image.Image:
    """Canvases enlarged to `side` pixels, each under its title."""
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * (side + GAP) + GAP, rows * (side + TITLE + 8)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(18)
    for number, (canvas, title) in enumerate(zip(pictures, titles, strict=True)):
        left, top = GAP + number % columns * (side + GAP), number // columns * (side + TITLE + 8)
        draw.text((left, top + 8), title, fill="black", font=font)
        draw.rectangle((left - 1, top + TITLE - 1, left + side, top + TITLE + side), outline="grey")
        page.paste(Image.fromarray(canvas).resize((side, side), Image.Resampling.NEAREST), (left, top + TITLE))
    return page


def canvases() -> Image.Image:
    """A text canvas, its first letters enlarged, and an image canvas: what the model sees."""
    codec = CanvasCodec(tokenizer="chars27", code="radix:3:1", layout="patch", patch_size="8", normalize=True)
    text = codec.encode(a_document())[0]
    photograph = codec.mark(a_photograph(64), IMAGE)
    titles = ["text: one letter, one pixel", "its first patch; black marker: text", "a photograph; white marker: image"]
    side = 64 * SCALE
    page = sheet([text, text[:LETTERS, :LETTERS], photograph], titles, columns=3, side=side)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    letters = codec.decode(text[None]).texts[0]
    cell = side // LETTERS
    for row, column in itertools.product(range(LETTERS), repeat=2):
        if row == column == 0:
            continue
        dark = text[row, column].astype(int).sum() < 382
        place = (2 * GAP + side + column * cell + cell // 2, TITLE + row * cell + cell // 2)
        letter = letters[row * LETTERS + column - 1].replace(" ", "_")
        draw.text(place, letter, fill="white" if dark else "black", font=font, anchor="mm")
    return page


def code() -> Image.Image:
    """The 27 colours of `radix:3:1`, a letter on each."""
    colors = parse_code("radix:3:1", 27).palette[:, 0]
    cell = 64
    page = Image.new("RGB", (9 * cell, 3 * cell), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    letters = CanvasCodec(tokenizer="chars27", code="radix:3:1").detokenize(np.arange(27))
    for number, (color, letter) in enumerate(zip(colors, letters, strict=True)):
        left, top = number % 9 * cell, number // 9 * cell
        draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=tuple(int(c) for c in color))
        ink = "white" if int(color.astype(int).sum()) < 382 else "black"
        draw.text((left + cell // 2, top + cell // 2), letter.replace(" ", "_"), fill=ink, font=font, anchor="mm")
    return page


def layout() -> Image.Image:
    """The order in which the pixels of an 8x8 canvas are filled, from dark to light, in patches of 4x4."""
    pictures, titles = [], []
    for name in ("raster", "patch"):
        codec = CanvasCodec(tokenizer="chars27", code="radix:3:1", layout=name, canvas_size=8, marker=False)
        order = np.zeros(64, np.uint8)
        order[codec.cell_index[:, 0]] = np.arange(64) * 4
        pictures.append(np.repeat(order.reshape(8, 8, 1), 3, axis=2))
        titles.append(f"layout {name}")
    side = 8 * 32
    page = sheet(pictures, titles, columns=2, side=side)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for number, picture in enumerate(pictures):
        left = GAP + number * (side + GAP)
        for row, column in itertools.product(range(8), repeat=2):
            place = (left + column * 32 + 16, TITLE + row * 32 + 16)
            shade = int(picture[row, column, 0])
            draw.text(place, str(shade // 4), fill="white" if shade < 128 else "black", font=font, anchor="mm")
        for edge in (0, 128, 256):
            draw.line((left + edge, TITLE, left + edge, TITLE + side), fill="orange", width=2)
            draw.line((left, TITLE + edge, left + side, TITLE + edge), fill="orange", width=2)
    return page


def tags() -> Image.Image:
    """The top-left corners of a text and of an image canvas, and what the nearest tag makes of a noisy one."""
    codec = CanvasCodec(tokenizer="chars27", code="radix:3:1", layout="patch", normalize=True, canvas_size=32)
    text = codec.encode(a_document())[0]
    photograph = codec.mark(a_photograph(32), IMAGE)
    noise = np.random.default_rng(0).normal(size=photograph.shape)
    noisy = to_uint8(np.clip(to_float(photograph) + 0.5 * noise, -1, 1))
    modality, margin = codec.decode_modality(np.stack([text, photograph, noisy]))
    kinds = ["image" if m == IMAGE else "text" for m in modality]
    assert list(modality) == [TEXT, IMAGE, IMAGE]
    names = ["a text", "a photograph", "it, sigma 0.5"]
    titles = [f"{name}: {kind}, margin {m:.2f}" for name, kind, m in zip(names, kinds, margin, strict=True)]
    return sheet([c[:8, :8] for c in (text, photograph, noisy)], titles, columns=3, side=8 * 32)


def times() -> Image.Image:
    """A text in three codes and a photograph at four times, and the share of tokens that the nearest colour reads."""
    side, noise = 32, np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32)
    pictures, titles = [], []
    for name in CODES:
        tokenizer = "chars27" if name == "radix:3:1" else "bytes"
        codec = CanvasCodec(tokenizer=tokenizer, code=name, layout="patch", normalize=True, canvas_size=side)
        clean = codec.encode(a_document())[0]
        ids, _ = codec.decode_ids(clean)
        for t in TIMES:
            y = to_float(clean) + (1 - t) / t * noise
            right = np.mean(codec.decode_ids(y)[0] == ids)
            pictures.append(to_uint8(np.clip(t * y, -1, 1)))
            titles.append(f"{name}: {right:.0%} right")
    photograph = a_photograph(side)
    for t in TIMES:
        pictures.append(to_uint8(np.clip(t * to_float(photograph) + (1 - t) * noise, -1, 1)))
        titles.append(f"t {t}, log-SNR {2 * np.log(t / (1 - t)):.1f}")
    return sheet(pictures, titles, columns=len(TIMES), side=6 * side)


def laws() -> Image.Image:
    """How often training visits each log-SNR under four laws of t, and where two codes become legible."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="log-SNR, 2 log(t / (1 - t))", ylabel="density")
    log_snr = np.linspace(-8, 16, 500)
    logit = log_snr / 2
    t = 1 / (1 + np.exp(-logit))
    axes.plot(log_snr, t * (1 - t) / 2, label="uniform", color="grey")
    for mean, std in ((-0.8, 0.8), (0.0, 1.0), (0.3, 0.8)):
        density = np.exp(-0.5 * ((logit - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi)) / 2
        axes.plot(log_snr, density, label=f"logit_normal:{mean}:{std}")
    for name, sigma in (("radix:3:1", 0.178), ("radix:7:1", 0.0578), ("base256", 0.0015)):  # of codes.md, 1 % errors
        axes.axvline(-2 * np.log(sigma), color="black", linestyle=":", linewidth=1)
        axes.text(-2 * np.log(sigma), axes.get_ylim()[1], f" {name}", fontsize=8, va="top", rotation=90, ha="right")
    axes.legend(fontsize=8)
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    return Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")


def main(folder: pathlib.Path = IMAGES) -> None:
    folder.mkdir(exist_ok=True)
    for picture in (canvases, code, layout, tags, times, laws):
        picture().save(folder / f"{picture.__name__}.png", optimize=True)


if __name__ == "__main__":
    main()
