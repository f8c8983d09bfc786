"""The output of commands: paths on stdout, a line on stderr for each file that is not used, exit codes.

It loads no torch: `--help` and completion must not wait for it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from cycle_sound.app import knowledge
from cycle_sound.errors import BadInput, NoConfidence
from cycle_sound.io import names

if TYPE_CHECKING:
    from cycle_sound.inference.system import CycleSound, Thing

T = TypeVar("T")


def say(line: object) -> None:
    """Print a line, with control characters escaped: file names and labels come from anywhere."""
    typer.echo(names.printable(str(line)))


def complain(message: str) -> None:
    """Print a message as one line on stderr."""
    typer.echo(f"error: {names.one_line(message)}", err=True)


def fail(message: str) -> NoReturn:
    """End with one line and exit code 1."""
    complain(message)
    raise typer.Exit(1)


def warned(system: "CycleSound", path: Path, sources: "Sequence[Thing]") -> bool:
    """Whether a file is unlike the training data, by the sounds or pictures in it; if so a line says it."""
    warning = knowledge.warning(system, path, sources)
    if warning:
        typer.echo(names.one_line(warning), err=True)
    return warning is not None


def show(paths: Iterable[Path]) -> None:
    """Print the paths of the files written, one a line."""
    for path in paths:
        say(path)


class Readable(Iterable[tuple[Path, T]]):
    """Iterates over the files that can be read, with their contents, and prints one line for each other file."""

    def __init__(self, paths: list[Path], read: Callable[[Path], T]) -> None:
        self._paths, self._read = paths, read
        self._refused: set[Path] = set()

    def __iter__(self) -> Iterator[tuple[Path, T]]:
        for path in self._paths:
            try:
                thing = self._read(path)
            except BadInput as error:
                self._refuse(path, error)
                continue
            yield path, thing

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Print one line, and go on with the next file, if this one turns out to be broken further on."""
        try:
            yield
        except BadInput as error:
            self._refuse(path, error)

    def _refuse(self, path: Path, error: BadInput) -> None:
        if path not in self._refused:  # a second sample reads again
            complain(str(error))
        self._refused.add(path)

    def end(self) -> None:
        """End with exit code 1 if a file could not be read."""
        if self._refused:
            raise typer.Exit(1)


class Abstention:
    """Decides which results are confident enough to be written, and prints one line for each that is not.

    Also one for each file that is unlike the training data, in whole or in a part that is used at once. `least` is a
    probability, or None to write all. For a source that is used in several parts, the mean of their confidences counts.
    Raises `NoConfidence` if a `least` is given and the models, from `folder`, have none.
    """

    def __init__(self, system: "CycleSound", least: float | None, folder: Path) -> None:
        if least is not None and not system.knows_confidence:
            raise NoConfidence(folder=folder)
        self._system, self._least = system, least
        self._abstained = False
        self._unlike: set[Path] = set()

    def accepts(self, path: Path, sources: "Sequence[Thing]", targets: "Sequence[Thing]") -> bool:
        """Whether to write the targets that were made from the sources in a file."""
        return self._suffices(path, self._found(path, sources, targets))

    def watching(
        self, path: Path, make: Callable[[Sequence[Any]], list[Any]]
    ) -> tuple[Callable[[Sequence[Any]], list[Any]], Callable[[], bool]]:
        """`make`, wrapped, and a function that says whether to write all that it has made from a file so far."""
        found: list[float] = []

        def watched(sources: Sequence[Any]) -> list[Any]:
            targets = make(sources)
            found.extend(self._found(path, sources, targets))
            return targets

        return watched, lambda: self._suffices(path, found)

    def _found(self, path: Path, sources: "Sequence[Thing]", targets: "Sequence[Thing]") -> list[float]:
        if path not in self._unlike and warned(self._system, path, sources):
            self._unlike.add(path)
        return [] if self._least is None else self._system.confidences(sources, targets) or []

    def _suffices(self, path: Path, found: Sequence[float]) -> bool:
        if self._least is None:
            return True
        sure = sum(found) / len(found)
        if sure < self._least:
            complain(f"{path}: confidence {sure:.3f} is below {self._least:g}: not written")
            self._abstained = True
        return sure >= self._least

    def end(self) -> None:
        """End with exit code 1 if something was not written."""
        if self._abstained:
            raise typer.Exit(1)
