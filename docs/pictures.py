"""Makes the pictures of the README and the documentation from the bundled demo data.

python docs/pictures.py
"""

import pathlib

from PIL import Image, ImageDraw, ImageFont

from pixjax import CanvasCodec
from pixjax.codec import IMAGE
from pixjax.data import open_source
from pixjax.data.demo import demo_documents

IMAGES = pathlib.Path(__file__).parent / "images"
SCALE = 6
LETTERS = 8  # pixels a side of the first patch, which is shown with its letters
GAP = 24


def canvases() -> Image.Image:
    """A text canvas, its first letters enlarged, and an image canvas: what the model sees."""
    codec = CanvasCodec(tokenizer="chars27", code="radix:3:1", layout="patch", patch_size="8", normalize=True)
    text = codec.encode(next(d for d in demo_documents() if d.startswith("Assignment statements")))[0]
    photograph = codec.mark(open_source("demo:images", canvas_size=64).load([0])[0].pixels, IMAGE)
    side = 64 * SCALE
    sheet = Image.new("RGB", (3 * side + 4 * GAP, side + GAP + 40), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    titles = ("text: one letter, one pixel", "its first patch; black marker: text", "a photograph; white marker: image")
    for column, (canvas, title) in enumerate(zip((text, text[:LETTERS, :LETTERS], photograph), titles, strict=True)):
        left = GAP + column * (side + GAP)
        draw.text((left, 8), title, fill="black", font=font)
        draw.rectangle((left - 1, 35, left + side, 36 + side), outline="grey")
        sheet.paste(Image.fromarray(canvas).resize((side, side), Image.Resampling.NEAREST), (left, 36))
    letters = codec.decode(text[None]).texts[0]
    cell = side // LETTERS
    for row in range(LETTERS):
        for column in range(LETTERS):
            if row == column == 0:
                continue
            dark = text[row, column].astype(int).sum() < 382
            place = (2 * GAP + side + column * cell + cell // 2, 36 + row * cell + cell // 2)
            letter = letters[row * LETTERS + column - 1].replace(" ", "_")
            draw.text(place, letter, fill="white" if dark else "black", font=ImageFont.load_default(24), anchor="mm")
    return sheet


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    canvases().save(IMAGES / "canvases.png", optimize=True)


if __name__ == "__main__":
    main()
