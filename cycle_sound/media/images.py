"""Image files read, to the picture of the image modality: uint8 (3, size, size).

Files are not trusted: nothing is decoded before its header has been checked.
"""

import io
import re
import warnings
from math import inf

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from cycle_sound.errors import BadPicture
from cycle_sound.media import picture_blocks, picture_files

MAX_PIXELS = 50_000_000  # above any camera's usual picture; a worker takes up to 800 MB to decode one to 150 MB
MAX_READS = 10_000  # of a header, block by block; the pieces of a GIF's comments are joined one by one
MAX_SIDE = 65_500  # pixels: the sides of a JPEG, which every picture becomes
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # the rest of Pillow's decoders would only add ways to be attacked
STARTS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|BM", re.DOTALL)  # of their files
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")  # that are looked for in a folder
BIT_DEPTH = 24  # where in a PNG the bits of a sample stand
TURNS: dict[object, Image.Transpose] = {  # by EXIF's orientation, which may be anything
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow warns of is refused here in one line, or does not matter. For good: `catch_warnings` would mix up threads.
# Last: a program that uses this package may have filters of its own.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)


class _File(io.BytesIO):
    """A picture's file, in which Pillow may read so often until it knows the header."""

    left: float = MAX_READS

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise BadPicture(f"more than {MAX_READS} blocks before the picture")
        return super().read(size)


def open_picture(content: bytes, least: int = MAX_SIDE) -> Image.Image:
    """Decode an image file to RGB: upright by its EXIF orientation, transparency over white.

    Where both sides have at least four times `least` pixels, a JPEG is decoded at a half, a quarter or an eighth of
    its size, which costs as much less, and never below twice `least`. A broken block that only describes the picture
    makes no difference. Raises `BadPicture` for what is no picture, is broken or cut off, has more than MAX_PIXELS or a
    side above MAX_SIDE, or takes more work than its size says.
    """
    if not content:
        raise BadPicture("empty file")
    if content.startswith(picture_blocks.JPEG):
        picture_blocks.check_work(content)
    try:
        return _decoded(content, least)
    except BadPicture:
        essential = picture_blocks.essential(content)
        if essential == content:
            raise
        return _decoded(essential, least)


def fits(width: int, height: int) -> bool:
    """Whether a picture is small enough to be decoded, and to become a JPEG."""
    return width * height <= MAX_PIXELS and max(width, height) <= MAX_SIDE


def to_array(picture: Image.Image, size: int) -> np.ndarray:
    """The pixels of `to_square`: uint8 (3, size, size)."""
    return np.ascontiguousarray(np.asarray(to_square(picture, size)).transpose(2, 0, 1))


def to_square(picture: Image.Image, size: int) -> Image.Image:
    """The centre square of an RGB picture, resampled to `size` pixels with antialiasing; of that one, a copy."""
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)


def rgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB; what is transparent lies over white."""
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white
        picture = _upper_bits(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def as_jpeg(content: bytes) -> bytes:
    """Convert an image file to JPEG; one that is JPEG already is returned as it is. Raises `BadPicture`."""
    return content if content.startswith(picture_blocks.JPEG) else picture_files.encode_jpeg(open_picture(content))


def _decoded(content: bytes, least: int) -> Image.Image:
    """Decode an image file, all of whose blocks must be right but for EXIF. Raises `BadPicture`."""
    try:
        file = _File(content)
        picture = Image.open(file, formats=FORMATS)  # reads the header only
        file.left = inf
        width, height = picture.size
        if fits(width, height):
            picture.draft(None, (2 * least, 2 * least))  # rounds sides up to a pixel, which counts less in more
            picture.load()
            if content.startswith(picture_blocks.PNG):
                _fit_transparency(picture, content[BIT_DEPTH])
            return rgb(_upright(picture))
    except UnidentifiedImageError:
        raise BadPicture(f"not an image of a known kind ({', '.join(FORMATS)})") from None
    except Exception as error:  # a decoder given broken content may raise almost anything
        raise BadPicture(f"cannot be decoded: {error}") from error
    raise BadPicture(f"{width} x {height} pixels: more than {MAX_PIXELS}, or than {MAX_SIDE} in a row")


def _fit_transparency(picture: Image.Image, bits: int) -> None:
    """Let the value that a PNG makes transparent be of 8 bits as its pixels are: Pillow gives it as it is stored."""
    clear = picture.info.get("transparency")
    if picture.mode == "L" and bits < 8 and isinstance(clear, int):
        picture.info["transparency"] = clear * 255 // (2**bits - 1)
    if picture.mode == "RGB" and bits == 16 and isinstance(clear, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in clear)


def _upper_bits(picture: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8 bits; where a PNG makes one value transparent, all of whose bits count, with alpha."""
    deep, clear = np.asarray(picture), picture.info.get("transparency")
    grey = Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(deep == clear, np.uint8(0), np.uint8(255))))
    return grey


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as EXIF or XMP say that it is to be seen; where they cannot be read it stays as it is stored."""
    try:
        picture_blocks.check_exif(_exif(picture))
        turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # of an optional block, whose parser may raise almost anything
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _exif(picture: Image.Image) -> bytes:
    """A picture's EXIF as Pillow finds it: in a block of its own, or by ImageMagick in a text of a PNG."""
    text = str(picture.info.get("Raw profile type exif", ""))
    return picture.info.get("exif") or bytes.fromhex("".join(text.split("\n")[3:]))
