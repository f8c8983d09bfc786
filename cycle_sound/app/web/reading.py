"""Uploads of visitors, read only as far as the page needs them. Each function raises `BadInput`."""

from pathlib import Path

from PIL import Image

from cycle_sound.app import inputs
from cycle_sound.errors import BadInput
from cycle_sound.inference.system import Thing
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound

MAX_SECONDS = 60.0  # of a sound or a film: forty or seventy windows, half a minute of work on two cores
MAX_PIXELS = 4_000_000_000  # that are decoded of a film: a minute of 1080p with 30 pictures a second, in 20 s
HEARD = MAX_SECONDS + 1  # seconds that are decoded, whatever a file holds


def sound(path: Path | None) -> Sound:
    """The uploaded sound."""
    if path is None:
        raise BadInput("upload or record a sound first")
    sound = beginning(path)
    if sound.seconds > MAX_SECONDS:
        raise BadInput(f"no more than {MAX_SECONDS:.0f} s of sound are allowed here")
    return sound


def beginning(path: Path) -> Sound:
    """The beginning of an uploaded sound of which no more is used."""
    return inputs.sound(path, HEARD)


def picture(path: Path | None, size: int) -> Image.Image:
    """The uploaded picture, for models that see pictures at a size in pixels."""
    if path is None:
        raise BadInput("upload, photograph or draw a picture first")
    return inputs.picture(path, size)


def either(path: Path | None, size: int) -> Thing:
    """The beginning of the uploaded sound, or the picture, for models that see pictures at a size in pixels."""
    if path is None:
        raise BadInput("upload a sound or a picture first")
    return inputs.either(path, size, HEARD)


def film(path: Path | None) -> FilmReader:
    """The uploaded film."""
    if path is None:
        raise BadInput("upload a film first")
    film = inputs.film(path, MAX_PIXELS)
    if film.seconds > MAX_SECONDS:
        raise BadInput(f"no more than {MAX_SECONDS:.0f} s of film are allowed here")
    return film
