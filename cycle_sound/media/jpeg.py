"""Pictures of a known size as JPEG: what this program itself stores, and reads again without trusting it."""

import io

import numpy as np
from PIL import Image

from cycle_sound.media import picture_files

SCAN = b"\xff\xda"  # begins a scan; such bytes stand nowhere else, and each scan goes through all pixels


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """A JPEG file of uint8 (3, h, w), its colours at full resolution; quality is 1 to 100."""
    return picture_files.encode_jpeg(picture_files.of_pixels(pixels), quality)


def decode(content: bytes, size: int) -> np.ndarray:
    """The picture in a file as `encode` writes it, of `size` pixels to a side: uint8 (3, size, size).

    Raises ValueError for another file.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=("JPEG",))  # reads the header only
        if picture.size == (size, size) and picture.mode == "RGB" and content.count(SCAN) == 1:
            return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))
    except Exception as error:  # a decoder given broken content may raise almost anything
        raise ValueError(f"a picture that cannot be decoded: {error}") from None
    raise ValueError(f"a picture of {picture.width} x {picture.height}, not as it was written")
