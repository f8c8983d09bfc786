"""Image files read, to the picture of the image modality: uint8 (3, size, size).

Files are not trusted: nothing is decoded before its header has been checked.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cycle_sound.errors import BadPicture
from cycle_sound.media import picture_files

MAX_PIXELS = 50_000_000  # above any camera's usual picture; decoded it takes 150 MB, per worker
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # the rest of Pillow's decoders would only add ways to be attacked


def open_picture(content: bytes) -> Image.Image:
    """Decode an image file to RGB: upright by its EXIF orientation, transparency over white.

    Raises `BadPicture` for what is no picture, is broken or cut off, or has more than MAX_PIXELS.
    """
    if not content:
        raise BadPicture("empty file")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)  # reads the header only
        width, height = picture.size
        if width * height <= MAX_PIXELS:
            return _rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise BadPicture(f"not an image of a known kind ({', '.join(FORMATS)})") from None
    except Exception as error:  # a decoder given broken content may raise almost anything
        raise BadPicture(f"cannot be decoded: {error}") from error
    raise BadPicture(f"{width} x {height} pixels: more than {MAX_PIXELS}")


def to_array(picture: Image.Image, size: int) -> np.ndarray:
    """The centre square of an RGB picture, resampled to `size` pixels with antialiasing: uint8 (3, size, size)."""
    square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def as_jpeg(content: bytes) -> bytes:
    """Convert an image file to JPEG; one that is JPEG already is returned as it is. Raises `BadPicture`."""
    return content if content.startswith(b"\xff\xd8\xff") else picture_files.encode_jpeg(open_picture(content))


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB; what is transparent lies over white."""
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return picture.convert("RGB")
