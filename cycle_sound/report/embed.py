"""Pictures and sounds as data URIs: a page that holds them needs no file beside it."""

import base64

import matplotlib
import numpy as np
from PIL import Image

from cycle_sound.media import picture_files


def picture(image: Image.Image) -> str:
    """The data URI of an image, as PNG."""
    return _uri("image/png", picture_files.encode_png(image))


def sound(content: bytes, kind: str) -> str:
    """The data URI of a sound file of a kind, such as `wav`."""
    return _uri(f"audio/{'mpeg' if kind == 'mp3' else kind}", content)


def log_mel(values: np.ndarray) -> Image.Image:
    """A log-mel (1, mels, frames) in [-1, 1] as a picture, low at the bottom, a pixel per band and frame."""
    colours = matplotlib.colormaps["magma"]((values[0, ::-1] + 1) / 2)[..., :3]  # (mels, frames, 3)
    return Image.fromarray(np.rint(colours * 255).astype(np.uint8))


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
