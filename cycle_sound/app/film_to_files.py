"""From a film to a file: the film with a soundtrack."""

from collections.abc import Callable
from pathlib import Path

from cycle_sound.app import inputs
from cycle_sound.app.outputs import written
from cycle_sound.inference import soundtrack
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.soundtrack import Make
from cycle_sound.io.endings import with_ending
from cycle_sound.media import film_writer
from cycle_sound.media.film_reader import FilmReader


def write_soundtrack(
    make: Make, film: FilmReader, stem: Path, models: Models, mix: bool, accepts: Callable[[], bool]
) -> list[Path]:
    """Write a film with the sounds that `make` generates from its frames, STEM.mp4, .mov or .mkv; return its path.

    `mix` keeps its own sound under them. If the sounds, once all are made, are not accepted, nothing is written.
    Raises `BadInput`.
    """
    path = with_ending(stem, film_writer.ending(film))
    with inputs.named(film.path):
        is_written = written(
            path, lambda part: soundtrack.write(part, film, make, models, mix, report=stem.name), accepts
        )
    return [path] if is_written else []
