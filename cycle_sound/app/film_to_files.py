"""From a film to a file: the film with a soundtrack."""

from collections.abc import Callable
from pathlib import Path

from cycle_sound.app import inputs
from cycle_sound.app.outputs import Result
from cycle_sound.inference import soundtrack
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.soundtrack import Make
from cycle_sound.media import film_writer
from cycle_sound.media.film_reader import FilmReader


def keeps_sound(film: FilmReader) -> bool:
    """Whether a film has a sound that can be kept under a new one. Raises `BadInput`."""
    with inputs.named(film.path):
        return film.has_sound(film_writer.AUDIO_RATE)


def write_soundtrack(
    make: Make, film: FilmReader, result: Result, models: Models, mix: bool, accepts: Callable[[], bool]
) -> list[Path]:
    """Write a film with the sounds that `make` generates from its frames, as .mp4, .mov or .mkv; return its path.

    `mix` keeps its own sound under them. If the sounds, once all are made, are not accepted, nothing is written.
    Raises `BadInput`.
    """

    def write(part: Path) -> None:
        soundtrack.write(part, film, make, models, mix, progress=result.name)

    with inputs.named(film.path):
        return result.write({film_writer.ending(film): write}, accepts)
