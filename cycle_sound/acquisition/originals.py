"""The files of accepted clips in a folder of pairs, which the manifest names by their SHA-256."""

from pathlib import Path
from typing import NamedTuple

from cycle_sound.io import files
from cycle_sound.params import SourceSplit


class Original(NamedTuple):
    """The picture and the sound of one clip: SPLIT_data/ID.jpg and SPLIT_data/ID.mp3; or one of them."""

    split: SourceSplit
    id: str
    picture_sha256: str  # "": there is no picture
    sound_sha256: str  # "": there is no sound

    @property
    def name(self) -> str:
        """Both files' path in the folder, without extension."""
        return f"{self.split}_data/{self.id}"

    def places(self, folder: Path) -> tuple[Path, Path]:
        """Where the picture and the sound lie, or would lie."""
        place = folder / f"{self.split}_data"
        return place / f"{self.id}.jpg", place / f"{self.id}.mp3"

    def picture(self, folder: Path) -> bytes:
        """The picture's content. Raises FileNotFoundError, or `ChangedOriginal` for other bytes than named."""
        return files.verified(self.places(folder)[0], self.picture_sha256)

    def sound(self, folder: Path) -> bytes:
        """The sound's content. Raises FileNotFoundError, or `ChangedOriginal` for other bytes than named."""
        return files.verified(self.places(folder)[1], self.sound_sha256)

    def is_of(self, other: "Original") -> bool:
        """Whether all its files are those of another clip."""
        named = zip(self, other, strict=True)
        return all(own in ("", same) for own, same in named)

    def is_whole(self, folder: Path) -> bool:
        """Whether all its files are there, and have the bytes named."""
        digests = self.picture_sha256, self.sound_sha256
        wanted = {path: digest for path, digest in zip(self.places(folder), digests, strict=True) if digest}
        return all(path.is_file() for path in wanted) and {path: files.digest(path) for path in wanted} == wanted
