"""Commands of cycle-sound: running them, and what they say and write."""

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner, Result

from cycle_sound.app.cli import app

Run = Callable[..., Result]


def running(models: Path) -> Run:
    """`run(*words)`: a command with these models, or others."""

    def run(*words: object, models: Path = models) -> Result:
        return CliRunner().invoke(app, [*map(str, words), "--models", str(models)])

    return run


def files(folder: Path) -> list[str]:
    """The files below a folder, by their paths in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def told(result: Result) -> list[str]:
    """The lines on stderr, but for the one that says which models are in use."""
    return [line for line in result.stderr.splitlines() if not line.startswith("using ")]


def is_one_line_of_error(result: Result, *words: str) -> bool:
    """Whether a command has failed with one line that holds all the words, not with a traceback."""
    lines = told(result)
    return (
        result.exit_code == 1
        and isinstance(result.exception, SystemExit)
        and len(lines) == 1
        and lines[0].startswith("error: ")
        and all(word in lines[0] for word in words)
    )
