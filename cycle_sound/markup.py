"""HTML that needs nothing beside it: a page, pictures and players that hold what they show."""

import base64
import io
from html import escape

import matplotlib
import numpy as np
from PIL import Image


def document(title: str, body: str, style: str) -> str:
    """A page of its own; `body` and `style` are HTML and CSS."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
<h1>{escape(title)}</h1>
{body}
</html>
"""


def picture(image: Image.Image, about: str) -> str:
    """An image as an element that holds it; `about` stands for it where it is not seen."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f'<img alt="{escape(about)}" src="{_data("image/png", file.getvalue())}">'


def player(content: bytes, kind: str, about: str) -> str:
    """A sound file of a kind, such as `wav`, as a player that holds it; `about` names it where it is not seen."""
    media = {"mp3": "mpeg"}.get(kind, kind)
    return f'<audio controls aria-label="{escape(about)}" src="{_data(f"audio/{media}", content)}"></audio>'


def log_mel(values: np.ndarray) -> Image.Image:
    """A log-mel (1, mels, frames) in [-1, 1] as a picture, low at the bottom, a pixel per band and frame."""
    colours = matplotlib.colormaps["magma"]((values[0, ::-1] + 1) / 2)[..., :3]  # (mels, frames, 3)
    return Image.fromarray(np.rint(colours * 255).astype(np.uint8))


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
