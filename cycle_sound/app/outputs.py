"""Output files: named after their sources, all in one folder, each written whole or not at all."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from cycle_sound.io import files, names

LONGEST = 220  # bytes of a stem, of the 255 that a name may have: endings and numbers come to it

Write = Callable[[Path], object]  # writes a file


class Names:
    """Hands out file names in one folder: none twice, and none of a file that is there already.

    With `overwrite`, files there may be replaced, except the sources, `read`; folders never.
    """

    def __init__(self, folder: Path, read: Iterable[Path], overwrite: bool = False) -> None:
        self.folder, self._overwrite = folder, overwrite
        here = _real(folder)
        # A file is there by the name that is given, and where that is a link perhaps by another one, too.
        places = [place for path in read for place in (_real(path.parent) / path.name, _real(path))]
        self._taken = {_same(place.name) for place in places if _is_same(place.parent, here)}
        if here.is_dir():
            self._taken |= {_same(path.name) for path in here.iterdir() if not overwrite or path.is_dir()}

    def result(self, stem: str, *endings: str) -> "Result":
        """A result whose files are to be FOLDER/STEM with `endings`, in whose order their paths are told.

        Characters that a terminal would interpret are replaced by `_`, and a name too long for file systems is cut.
        """
        return Result(self, names.UNSHOWN.sub("_", stem).encode()[:LONGEST].decode(errors="ignore"), endings)

    def free(self, stem: str, *endings: str) -> str:
        """Take STEM, or the first free of STEM-2, -3, …, with each of the `endings`. Case is ignored."""
        number = 1
        while True:
            name = stem if number == 1 else f"{stem}-{number}"
            wanted = {_same(f"{name}{ending}") for ending in endings}
            if not wanted & self._taken:
                self._taken |= wanted
                return name
            number += 1

    def place(self, parts: Mapping[Path, Path]) -> None:
        """Give whole files their places in the folder for good: all or none.

        Raises FileExistsError where a file has appeared since the name was free, unless it may be replaced.
        """
        held: list[Path] = []
        try:
            for part, path in parts.items():
                with files.naming(path, part):
                    if not self._overwrite:
                        _hold(part, path)
                        held.append(path)
            for part, path in parts.items():
                with files.naming(path, part):
                    files.move(part, path)
        except BaseException:
            for path in held:
                path.unlink(missing_ok=True)
            raise


class Result:
    """The files of one result: one name with several endings, which they get once all of them are whole."""

    def __init__(self, taken: Names, name: str, endings: tuple[str, ...]) -> None:
        self.name = name  # without a number
        self._names, self._endings = taken, endings

    def write(self, writers: Mapping[str, Write], accepts: Callable[[], bool] = lambda: True) -> list[Path]:
        """Let each writer, by its ending, write to a temporary path, then name the files; return their paths.

        If `accepts` returns False once all are written, nothing is kept. Raises what all of these raise, and leaves
        nothing behind then.
        """
        parts: dict[str, Path] = {}
        try:
            for ending, write in writers.items():
                part = parts[ending] = self._names.folder / f".{secrets.token_hex(8)}.part"
                with files.naming(self._path(self.name, ending), part):
                    self._names.folder.mkdir(parents=True, exist_ok=True)
                    write(part)
                    files.move(part, part)  # nothing but to the disk, before it has a name there
            return self._placed(parts) if accepts() else []
        finally:
            for part in parts.values():
                with suppress(OSError):  # it took its place; or the disk, of which the error tells, refuses this too
                    part.unlink()

    def _placed(self, parts: Mapping[str, Path]) -> list[Path]:
        """Give whole files, by their endings, the first free name; return their paths."""
        while True:
            name = self._names.free(self.name, *self._endings)
            with suppress(FileExistsError):  # that name has been taken meanwhile; the next one
                self._names.place({part: self._path(name, ending) for ending, part in parts.items()})
                return [self._path(name, ending) for ending in self._endings if ending in parts]

    def _path(self, name: str, ending: str) -> Path:
        """A file's path, never of a name without its ending: `.` and `..` are folders."""
        return self._names.folder / f"{name}{ending}"


def content(content: bytes) -> Write:
    """A writer of the content of a file."""
    return lambda path: path.write_bytes(content)


def _hold(part: Path, path: Path) -> None:
    """Reserve an unused name for a complete file, by a hard link if possible. Raises FileExistsError if it is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file holds the name until the whole one replaces it
        path.touch(exist_ok=False)


def _real(path: Path) -> Path:
    """Where a path leads; `Path.resolve` raises RuntimeError for a link that leads back to itself."""
    return Path(os.path.realpath(path))


def _is_same(folder: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, also by mounts and in another case."""
    try:
        return folder.samefile(other)
    except OSError:  # one of them is not there yet
        return folder == other


def _same(name: str) -> str:
    """A form that is equal for names that some file systems treat as the same."""
    return names.normal(name.casefold())
