"""Input files of the command line and the page: sounds, pictures, folders of them. None of it is trusted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import av
from PIL import Image

from cycle_sound.acquisition.sources import archives
from cycle_sound.errors import BadFilm, BadInput, BadPicture, BadSound
from cycle_sound.io import names
from cycle_sound.media import containers, images, sound_files, sound_reader
from cycle_sound.media.film_reader import FilmReader
from cycle_sound.media.sounds import Sound
from cycle_sound.params import Modality

ENDINGS: dict[Modality, tuple[str, ...]] = {"audio": sound_files.ENDINGS, "image": images.ENDINGS}
MAX_BYTES = 1 << 30  # of a file that is read whole; no picture is so large, nor ten minutes of sound


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


def expanded(paths: Sequence[Path], modality: Modality) -> list[Path]:
    """The paths with each folder replaced by its files of a modality. Raises `BadInput` for a folder without any."""
    return [file for path in paths for file in (listed(path, modality) if path.is_dir() else [path])]


def sound(path: Path, seconds: float | None = None) -> Sound:
    """Read a sound file, or its first `seconds`. Raises `BadInput`."""
    with named(path):
        return Sound(*sound_files.decode(_content(path), seconds=seconds))


def picture(path: Path) -> Image.Image:
    """Read a picture file. Raises `BadInput`."""
    with named(path):
        return images.open_picture(_content(path))


def either(path: Path, seconds: float | None = None) -> Sound | Image.Image:
    """Read a file that holds a picture or a sound, whatever its name says; of a sound its first `seconds`, if given.

    Raises `BadInput`.
    """
    content = _content(path)
    try:
        return images.open_picture(content)
    except BadPicture as no_picture:
        try:
            return Sound(*sound_files.decode(content, seconds=seconds))
        except BadSound as no_sound:
            raise BadInput(f"{path}: as a picture: {no_picture}; as a sound: {no_sound}") from None


def film(path: Path, most: float = inf) -> FilmReader:
    """Open a film file, of which so many pixels are decoded at most. Raises `BadInput`."""
    _check(path)
    with named(path):
        return FilmReader(path, most)


def is_film(path: Path) -> bool:
    """Whether a file is called a film, or holds moving pictures whatever its name says."""
    if archives.is_video(path.name) or not path.is_file():
        return archives.is_video(path.name)
    try:
        with Image.open(path, formats=images.FORMATS):  # reads the header only
            return False
    except Exception:  # given broken content, Pillow may raise almost anything
        pass
    try:
        with path.open("rb") as file, containers.opened(file, containers.VIDEOS) as container:
            return containers.picture_of(container) is not None
    except av.FFmpegError:
        return False


class LongSound(NamedTuple):
    """A file with a sound of any length, or a film with one, read a block at a time, as often as it is needed."""

    path: Path
    seconds: float  # nearly

    def blocks(self) -> Iterator[Sound]:
        """Its sound from the start to the end. Raises `BadInput`."""
        with named(self.path):
            yield from sound_reader.blocks(self.path)


def long_sound(path: Path) -> LongSound:
    """Open a sound file, or a film with a sound. Raises `BadInput`."""
    _check(path)
    with named(path):
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


def _content(path: Path) -> bytes:
    """The content of a file. Raises `BadInput` where it is missing, no regular file or larger than MAX_BYTES."""
    _check(path)
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path}: {path.stat().st_size / 2**30:.1f} GiB: more than is read")
    return path.read_bytes()


def _check(path: Path) -> None:
    """Raise `BadInput` for what is missing, and for what is no regular file."""
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if not path.is_file():  # a device or a pipe might never end
        raise BadInput(f"{path}: not a file")
