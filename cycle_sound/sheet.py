"""The pictures of a long sound on one sheet, in the order of time."""

from collections.abc import Sequence
from math import ceil

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 8
SHOWN = 128  # pixels of a picture on the sheet, at least: models make small ones
GAP = 8  # pixels
CAPTION = 16  # pixels
INK, PAPER = (70, 70, 70), (255, 255, 255)


def clock(seconds: float) -> str:
    """A moment, as 1:04.6."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


def magnified(picture: Image.Image, least: int) -> Image.Image:
    """A small picture at a whole multiple of its size, at least `least` pixels wide: its pixels stay what they are."""
    times = ceil(least / picture.width)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def contact_sheet(pictures: Sequence[Image.Image], seconds: float) -> Image.Image:
    """Pictures of one size, one every `seconds`, row by row, each with the moment where it begins."""
    tiles = [magnified(picture, SHOWN) for picture in pictures]
    columns = min(COLUMNS, len(tiles))
    across, down = tiles[0].width + GAP, tiles[0].height + CAPTION + GAP
    sheet = Image.new("RGB", (columns * across + GAP, ceil(len(tiles) / columns) * down + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION - 4)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * across, GAP + number // columns * down
        sheet.paste(tile, (left, top))
        pen.text((left, top + tile.height + 1), clock(number * seconds), INK, font)
    return sheet
