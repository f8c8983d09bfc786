"""A contact sheet: the pictures of a long sound on one, in the order of time."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

from PIL import Image, ImageDraw, ImageFont

from cycle_sound.media import enlarging

COLUMNS = 8  # pictures in a row, at most
SHOWN = 128  # pixels of a picture on the sheet, at least: models make small ones
MOST = 400  # pictures on a sheet: of the default models those of ten minutes, fifty rows
GAP = 8  # pixels
CAPTION = 16  # pixels
INK, PAPER = (70, 70, 70), (255, 255, 255)  # red, green and blue, 0 to 255


class Thumbnails:
    """The pictures of a sound of any length that a sheet shows: all, or every second, fourth, … of more than MOST."""

    def __init__(self) -> None:
        self._kept: list[Image.Image] = []
        self._step = 1

    def noted(self, pictures: Iterable[Image.Image]) -> Iterator[Image.Image]:
        """Hand pictures on, of one size, and keep what the sheet shows of them."""
        for number, picture in enumerate(pictures):
            if number % self._step == 0:
                self._kept.append(picture)
            if len(self._kept) > MOST:
                self._kept, self._step = self._kept[::2], 2 * self._step
            yield picture

    def drawn(self, seconds: float) -> Image.Image:
        """The contact sheet of pictures that begin `seconds` apart."""
        return contact_sheet(self._kept, self._step * seconds)


def clock(seconds: float) -> str:
    """A time in seconds as text: minutes, seconds and tenths, as 1:04.6."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"


def contact_sheet(pictures: Sequence[Image.Image], seconds: float) -> Image.Image:
    """Draw pictures of one size row by row, captioned with the times at which they begin, `seconds` apart."""
    tiles = [enlarging.nearest(picture, SHOWN) for picture in pictures]
    columns = min(COLUMNS, len(tiles))
    across, down = tiles[0].width + GAP, tiles[0].height + CAPTION + GAP
    sheet = Image.new("RGB", (columns * across + GAP, ceil(len(tiles) / columns) * down + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION - 4)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * across, GAP + number // columns * down
        sheet.paste(tile, (left, top))
        pen.text((left, top + tile.height + 1), clock(number * seconds), INK, font)
    return sheet
