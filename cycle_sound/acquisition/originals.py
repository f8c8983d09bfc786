"""The files of accepted clips in a folder of pairs, which the manifest names by their SHA-256."""

from pathlib import Path
from typing import Literal, NamedTuple

from cycle_sound.io import files


class Original(NamedTuple):
    """The picture and the sound of one clip: SPLIT_data/ID.jpg and SPLIT_data/ID.mp3."""

    split: Literal["train", "test"]
    id: str
    picture_sha256: str
    sound_sha256: str

    @property
    def name(self) -> str:
        """Both files' path in the folder, without extension."""
        return f"{self.split}_data/{self.id}"

    def places(self, folder: Path) -> tuple[Path, Path]:
        """Where the picture and the sound lie."""
        place = folder / f"{self.split}_data"
        return place / f"{self.id}.jpg", place / f"{self.id}.mp3"

    def picture(self, folder: Path) -> bytes:
        """The picture's content. Raises FileNotFoundError, or `ChangedOriginal` for other bytes than named."""
        return files.verified(self.places(folder)[0], self.picture_sha256)

    def sound(self, folder: Path) -> bytes:
        """The sound's content. Raises FileNotFoundError, or `ChangedOriginal` for other bytes than named."""
        return files.verified(self.places(folder)[1], self.sound_sha256)

    def is_whole(self, folder: Path) -> bool:
        """Whether both files are there, and have the bytes named."""
        paths = self.places(folder)
        wanted = [self.picture_sha256, self.sound_sha256]
        return all(path.is_file() for path in paths) and [files.digest(path) for path in paths] == wanted
