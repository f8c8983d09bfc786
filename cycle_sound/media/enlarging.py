"""Pictures enlarged by a whole factor."""

from math import ceil

from PIL import Image


def nearest(picture: Image.Image, least: int) -> Image.Image:
    """A picture of at least `least` pixels of width, each of its own repeated."""
    times = ceil(least / picture.width)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def smooth(picture: Image.Image, times: int) -> Image.Image:
    """A picture `times` as wide and high, smoothly: bicubic, whose edges overshoot less than Lanczos's."""
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.BICUBIC)
