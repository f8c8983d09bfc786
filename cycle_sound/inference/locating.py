"""Which folder of models is used. It loads no torch: that models are missing is said at once."""

from pathlib import Path

from cycle_sound import paths
from cycle_sound.errors import MissingCheckpoint, NoModels

CARD = "card.json"  # of an exported folder


def located(given: Path | None) -> Path:
    """The folder given; else a project's `data/` where its models are whole; else that of those that come along.

    Raises `NoModels`, and `MissingCheckpoint` for the first model that the folder lacks.
    """
    own = (folder for folder in (paths.DATA, paths.PRETRAINED) if holds_models(folder))
    folder = given or next(own, paths.DATA)
    check(folder)
    for path in missing(folder):
        raise MissingCheckpoint(path=path)
    return folder


def check(folder: Path) -> None:
    """Raise `NoModels` for what is neither an exported folder nor a project's `data/`."""
    if not is_exported(folder) and not is_project(folder):
        raise NoModels(folder=folder)


def is_exported(folder: Path) -> bool:
    """Whether a folder has a card."""
    return (folder / CARD).is_file()


def is_project(folder: Path) -> bool:
    """Whether a folder has params.yaml beside it, as a project's `data/` has."""
    return folder.is_dir() and (project_of(folder) / "params.yaml").is_file()


def project_of(folder: Path) -> Path:
    """The project of a `data/`."""
    return folder.absolute().parent


def holds_models(folder: Path) -> bool:
    """Whether a folder can be used: it is an exported one or a project's `data/`, and lacks no model."""
    return (is_exported(folder) or is_project(folder)) and not missing(folder)


def missing(folder: Path) -> list[Path]:
    """The models that a folder lacks."""
    return [path for path in paths.generators(folder) if not path.is_file()]
