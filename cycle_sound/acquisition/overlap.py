"""The user's own files are kept apart from what the stages write and remove."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.errors import BadSource
from cycle_sound.io import files
from cycle_sound.params import DataConfig


def keep_apart(data: DataConfig, made: Iterable[Path]) -> None:
    """Raise `BadSource` if a path that data.source reads equals, contains or lies in one of `made`, links resolved."""
    for setting, path in _named(data).items():
        try:
            path.resolve()
        except RuntimeError:  # of Pythons before 3.13
            raise BadSource(f"{setting}: {path} is a link that leads back to itself") from None
        for place in made:
            if files.lies_in(path, place) or files.lies_in(place, path):
                raise BadSource(f"{setting}: {path} is, holds or lies in {place}, where the stages write: move it away")


def keep_clips_apart(clips: Sequence[Clip], made: Sequence[Path]) -> None:
    """Raise `BadSource` where a file that a clip is made of lies in one of `made`, perhaps by a link to it."""
    paths = {path for clip in clips for path in clip.files}
    linked = {path for path in paths if path.is_symlink()}
    for path in sorted(linked | {path.parent for path in paths}):
        for place in made:
            if files.lies_in(path, place):
                raise BadSource(f"{path} lies in {place}, where the stages write: move it away")


def _named(data: DataConfig) -> dict[str, Path]:
    """The files and folders that the settings of data.source name, by setting."""
    match data.source:
        case "synthetic":
            named = {}
        case "folder":
            named = {"folder.path": data.folder.path}
        case "videos":
            named = {"videos.path": data.videos.path, "videos.labels": data.videos.labels}
        case "vggsound":
            named = {
                "vggsound.list": data.vggsound.list,
                "vggsound.test_list": data.vggsound.test_list,
                "vggsound.path": data.vggsound.path,
                "vggsound.moments": data.vggsound.moments,
                "vggsound.cookies": data.vggsound.cookies,
            }
    return {f"data.{setting}": Path(path) for setting, path in named.items() if path}
