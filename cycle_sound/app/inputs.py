"""Input files of the command line and the page: sounds, pictures, folders of them. None of it is trusted."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import av
from PIL import Image

from cycle_sound.acquisition.sources import archives
from cycle_sound.errors import BadFilm, BadInput, BadPicture, BadSound, told
from cycle_sound.io import bounded, names
from cycle_sound.media import containers, film_reader, images, sound_files, sound_reader
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound
from cycle_sound.params import Modality

ENDINGS: dict[Modality, tuple[str, ...]] = {"audio": sound_files.ENDINGS, "image": images.ENDINGS}


def listed(folder: Path, modality: Modality) -> list[Path]:
    """The files of a modality in a folder, by their endings, in order of name; hidden ones are passed over.

    Raises `BadInput` if there are none.
    """
    shown = (path for path in folder.iterdir() if not names.is_hidden(path.relative_to(folder)))
    found = sorted(path for path in shown if path.suffix.lower() in ENDINGS[modality] and path.is_file())
    if not found:
        what = "sound" if modality == "audio" else "picture"
        raise BadInput(f"{folder}: holds no {what} file ({' '.join(ENDINGS[modality])})")
    return found


def check_folder(folder: Path) -> None:
    """Raise `BadInput` for a folder that is missing."""
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise BadInput(f"{folder}: no such folder")


def expanded(paths: Sequence[Path], modality: Modality) -> list[Path]:
    """The paths with each folder replaced by its files of a modality. Raises `BadInput` for a folder without any."""
    # Path.is_dir raises for a name that is too long.
    return [file for path in paths for file in (listed(path, modality) if os.path.isdir(path) else [path])]


def sound(path: Path, seconds: float | None = None) -> Sound:
    """`read_sound` of a path as it stands. Raises `BadInput`."""
    with named(path):
        return _heard(_content(path), seconds)


def picture(path: Path, size: int) -> Image.Image:
    """`read_picture` of a path as it stands. Raises `BadInput`."""
    with named(path):
        return images.open_picture(_content(path), size)


def either(path: Path, size: int, seconds: float | None = None) -> Sound | Image.Image:
    """Read a file that holds a picture or a sound, whatever its name says, as `picture` and `sound` do.

    `size`: of what the models see of a picture; `seconds`: of a sound, from its start. Raises `BadInput`.
    """
    content = _content(path)
    try:
        return images.open_picture(content, size)
    except BadPicture as no_picture:
        try:
            return _heard(content, seconds)
        except BadSound as no_sound:
            raise BadInput(f"{path}: as a picture: {no_picture}; as a sound: {no_sound}") from None


def read_sound(path: str | Path, seconds: float | None = None) -> Sound:
    """Read a sound file (MP3, WAV, FLAC, Ogg, Opus, M4A, AAC, WMA, AMR, AIFF) or a film's sound: mono, at its own rate.

    `seconds`: from its start, if it is not to be read whole. `~` stands for the user's home. Raises
    `cycle_sound.errors.BadInput`, a `UserError`, for what is missing, no sound, broken, far beyond full scale, or whole
    longer than ten minutes.
    """
    return sound(Path(os.path.expanduser(path)), seconds)


def read_picture(path: str | Path, size: int = images.MAX_SIDE) -> Image.Image:
    """Read a picture file (JPEG, PNG, WebP, GIF, BMP): RGB, upright by its EXIF orientation, transparency over white.

    `size`: of what models see of it, in pixels, which is `CycleSound.size`. A large JPEG is then decoded at a part of
    its own size, at least twice as large, as for training data and by the commands: models see the same pixels, and a
    seed gives the same result. By default it is decoded whole.

    `~` stands for the user's home. Raises `cycle_sound.errors.BadInput`, a `UserError`, for what is missing, no
    picture, broken, or of more than 50 million pixels.
    """
    return picture(Path(os.path.expanduser(path)), size)


def film(path: Path, most: float = inf) -> FilmReader:
    """Open a film file, of which so many pixels are decoded at most. Raises `BadInput`."""
    check(path)
    with named(path), _reading(path):
        return FilmReader(path, most)


def is_film(path: Path) -> bool:
    """Whether a file is called a film, or holds moving pictures whatever its name says."""
    if archives.is_video(path.name) or not _is_readable(path):
        return archives.is_video(path.name)
    try:
        with _reading(path), path.open("rb") as file:
            if film_reader.is_still(file) or images.STARTS.match(file.read(12)):
                return False
            file.seek(0)
            with containers.opened(file, containers.VIDEOS) as container:
                return containers.picture_of(container) is not None
    except (BadInput, av.FFmpegError):
        return False


class LongSound(NamedTuple):
    """A file with a sound of any length, or a film with one, read a block at a time, as often as it is needed."""

    path: Path
    seconds: float  # nearly

    def blocks(self) -> Iterator[Sound]:
        """Its sound from the start to the end. Raises `BadInput`."""
        with named(self.path), _reading(self.path):
            yield from sound_reader.blocks(self.path)


def long_sound(path: Path) -> LongSound:
    """Open a sound file, or a film with a sound. Raises `BadInput`."""
    check(path)
    with named(path), _reading(path):
        return LongSound(path, sound_reader.seconds(path))


def steering(
    read: Callable[[Path], Sound | Image.Image], unlike: Path | None, blend: Path | None, share: float
) -> dict[str, Any]:
    """The files of other sources that steer a draw, as keywords of `CycleSound.images` and `sounds`.

    `share`: of `blend`. Raises what `read` raises.
    """
    return {
        "unlike": None if unlike is None else read(unlike),
        "blend": None if blend is None else (read(blend), share),
    }


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Raise `BadInput`, which names a file, for what is wrong with its content."""
    try:
        yield
    except (BadFilm, BadPicture, BadSound) as error:
        raise BadInput(f"{path}: {error}") from None


def _heard(content: bytes, seconds: float | None) -> Sound:
    return Sound(*sound_files.decode(content, seconds=seconds))


def _content(path: Path) -> bytes:
    """The content of a file. Raises `BadInput` where it cannot be read, or is larger than `bounded.MAX_MEDIA`."""
    check(path)
    if excess := bounded.excess(path, bounded.MAX_MEDIA):
        raise BadInput(f"{path}: {excess}")
    with _reading(path):
        return path.read_bytes()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise `BadInput`, which names a file, where a disk or a network ceases to give it."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None


def check(path: Path) -> None:
    """Raise `BadInput` for what is missing, is no regular file, or cannot be opened: before models are read for it."""
    try:
        if not path.exists():
            raise BadInput(f"{path}: no such file")
        if not path.is_file():  # a device or a pipe might never end
            raise BadInput(f"{path}: not a regular file")
        path.open("rb").close()
    except OSError as error:  # no permission, or a name that is too long
        raise BadInput(told(error)) from None


def _is_readable(path: Path) -> bool:
    try:
        check(path)
    except BadInput:
        return False
    return True
