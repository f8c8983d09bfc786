"""From a sound to files: a picture, or for a long sound a contact sheet and a film."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from PIL import Image

from cycle_sound.app.inputs import LongSound
from cycle_sound.app.outputs import Result, content
from cycle_sound.inference.fixed_batches import TOGETHER, batched
from cycle_sound.io import progress
from cycle_sound.media import enlarging
from cycle_sound.media.blocks import windows
from cycle_sound.media.contact_sheet import Thumbnails
from cycle_sound.media.film_writer import write_film
from cycle_sound.media.picture_files import encode_png
from cycle_sound.media.sounds import Sound


def write_pictures(
    make: Callable[[Sequence[Sound]], list[Image.Image]],
    sound: LongSound,
    seconds: float,
    result: Result,
    accepts: Callable[[], bool],
    scale: int = 1,
) -> list[Path]:
    """Write the picture that `make` generates from a sound as .png; return the paths written.

    A sound longer than `seconds` becomes one picture per window: a contact sheet, .png, and a film, .mp4, made a batch
    of windows at a time. If the pictures, once all are made, are not accepted, nothing is written. The picture,
    or those of the film, are written `scale` times as wide and as high. Raises `BadInput`.
    """
    parts = windows(sound.blocks(), seconds)
    begin = list(islice(parts, 2))
    if len(begin) == 1:
        [picture] = make(begin)
        return result.write({".png": content(encode_png(enlarging.smooth(picture, scale)))}) if accepts() else []
    sheet = Thumbnails()
    pictures = sheet.noted(_made(make, chain(begin, parts), sound.seconds / seconds, result.name))
    large = (enlarging.smooth(picture, scale) for picture in pictures)
    return result.write(
        {
            ".mp4": lambda part: write_film(part, large, seconds, sound.blocks()),
            ".png": lambda part: part.write_bytes(encode_png(sheet.drawn(seconds))),
        },
        accepts,
    )


def _made(
    make: Callable[[Sequence[Sound]], list[Image.Image]], parts: Iterator[Sound], count: float, name: str
) -> Iterator[Image.Image]:
    """The pictures of windows, about so many; how far they are is shown where they are more than one batch."""
    pictures = (picture for batch in batched(parts) for picture in make(batch))
    return progress.track(pictures, round(count), name) if count > TOGETHER else pictures
