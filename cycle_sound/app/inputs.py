"""Input files of the command line and the page: sounds, pictures, folders of them. None of it is trusted."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cycle_sound.errors import BadInput, BadPicture, BadSound
from cycle_sound.io import names
from cycle_sound.media import images, sound_files
from cycle_sound.media.sounds import Sound
from cycle_sound.params import Modality

ENDINGS: dict[Modality, tuple[str, ...]] = {"audio": sound_files.ENDINGS, "image": images.ENDINGS}
MAX_BYTES = 1 << 30  # files are read whole; no picture is so large, nor ten minutes of sound


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
    try:
        return Sound(*sound_files.decode(_content(path), seconds=seconds))
    except BadSound as error:
        raise BadInput(f"{path}: {error}") from None


def picture(path: Path) -> Image.Image:
    """Read a picture file. Raises `BadInput`."""
    try:
        return images.open_picture(_content(path))
    except BadPicture as error:
        raise BadInput(f"{path}: {error}") from None


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


def _content(path: Path) -> bytes:
    """The content of a file. Raises `BadInput` where it is missing, no regular file or larger than MAX_BYTES."""
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if not path.is_file():  # a device or a pipe might never end
        raise BadInput(f"{path}: not a file")
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path}: {path.stat().st_size / 2**30:.1f} GiB: more than is read")
    return path.read_bytes()
