"""Image files and the picture of the image modality: floats (3, size, size) in [-1, 1].

Files come from outside, so nothing is decoded before its header has been looked at.
"""

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 50_000_000  # above any camera's usual picture; decoded it takes 150 MB, per worker
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # the rest of Pillow's decoders would only add ways to be attacked
JPEG_QUALITY = 95


class BadPicture(ValueError):
    """The content is not a picture that can be used; the message says why."""


def open_picture(content: bytes, size: int | None = None) -> Image.Image:
    """Decode an image file to RGB: upright by its EXIF orientation, transparency over white.

    With `size` (pixels) a much larger JPEG is decoded at a reduced scale whose short side is still at least `size`.
    Raises `BadPicture` for what is no picture, is broken or cut off, or has more than MAX_PIXELS.
    """
    if not content:
        raise BadPicture("empty file")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)  # reads the header only
        width, height = picture.size
        if width * height <= MAX_PIXELS:
            if size:
                picture.draft("RGB", (size, size))  # leaves the high frequencies out, so it antialiases by itself
            return _rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise BadPicture(f"not an image of a known kind ({', '.join(FORMATS)})") from None
    except Exception as error:  # a decoder given broken content may raise almost anything
        raise BadPicture(f"cannot be decoded: {error}") from error
    raise BadPicture(f"{width} x {height} pixels: more than {MAX_PIXELS}")


def to_array(picture: Image.Image, size: int) -> np.ndarray:
    """The centre square of a picture at `size` pixels, antialiased: uint8 (3, size, size)."""
    square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def to_float(pixels: "Tensor") -> "Tensor":
    """Bytes 0 to 255 of any shape to float32 in [-1, 1]."""
    return pixels / 127.5 - 1


def to_picture(values: np.ndarray) -> Image.Image:
    """Floats (3, h, w) in [-1, 1], clipped to that range, to an RGB picture."""
    pixels = np.clip(np.rint((np.asarray(values, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)), "RGB")


def encode_jpeg(picture: Image.Image) -> bytes:
    """A JPEG file of an RGB picture, with full colour resolution: small pictures have none to lose."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def as_jpeg(content: bytes) -> bytes:
    """An image file as JPEG: byte for byte if it is one. Raises `BadPicture` where it must be decoded and cannot be."""
    return content if content.startswith(b"\xff\xd8\xff") else encode_jpeg(open_picture(content))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow would clip it to white
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return picture.convert("RGB")
