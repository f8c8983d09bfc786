"""Pictures from values in [-1, 1], encoded as files. Reading is in `images`, as untrusted files keep it changing."""

import io

import numpy as np
from PIL import Image

JPEG_QUALITY = 95  # of 1 to 100


def to_picture(values: np.ndarray) -> Image.Image:
    """Convert floats (3, h, w), clipped to [-1, 1], to an RGB picture."""
    pixels = np.clip(np.rint((np.asarray(values, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)
    return of_pixels(pixels)


def of_pixels(pixels: np.ndarray) -> Image.Image:
    """An RGB picture, a copy, of its pixels 0 to 255: uint8 (3, h, w)."""
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)), "RGB")


def encode_png(picture: Image.Image) -> bytes:
    """A PNG file of a picture."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def encode_jpeg(picture: Image.Image, quality: int = JPEG_QUALITY) -> bytes:
    """Encode an RGB picture as JPEG, quality 1 to 100, colours at full resolution: small ones have none to lose."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
