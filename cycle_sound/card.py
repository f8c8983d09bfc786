"""What is known of a folder of models beside their weights: how to draw, what they were made from, how good they are.

In a project's `data/` that stands in params.yaml and metrics/ beside it; an exported folder carries it as card.json.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cycle_sound import files, params
from cycle_sound.params import Samplings, Section

NAME = "card.json"


class NoModels(ValueError):
    """A folder that is neither a project's data nor exported models."""


class Card(Section):
    """The facts of a folder of models."""

    sampling: Samplings  # how each direction draws unless told otherwise
    params: dict[str, Any]  # params.yaml, but for where the data lay
    metrics: dict[str, dict[str, Any]]  # metrics/NAME.json, by NAME
    models: dict[str, dict[str, Any]]  # digest, kind and configuration of each file, once it is exported


def read(folder: Path) -> Card:
    """The card of an exported folder, or of a project's `data/`. Raises `NoModels`, `ParamsError`."""
    if (folder / NAME).is_file():
        return _exported(folder / NAME)
    project = folder.absolute().parent
    if not folder.is_dir() or not (project / "params.yaml").is_file():
        raise NoModels(
            f"{folder}: no models here; `dvc repro` makes a project's data/, an exported folder has a {NAME}"
        )
    tree = params.load(project / "params.yaml")
    metrics = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((project / "metrics").glob("*.json"))}
    return Card(sampling=tree.sampling, params=_unlocated(tree.model_dump()), metrics=metrics, models={})


def write(folder: Path, card: Card) -> None:
    """Write FOLDER/card.json."""
    files.write_json(folder / NAME, card.model_dump())


def _exported(path: Path) -> Card:
    try:
        return Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NoModels(f"{path}: not a card of models: {place + ': ' if place else ''}{first['msg']}") from None


def _unlocated(tree: dict[str, Any]) -> dict[str, Any]:
    """Parameters without the sections of the data's sources: paths, proxies and cookies are for nobody else."""
    return {**tree, "data": {name: value for name, value in tree["data"].items() if not isinstance(value, dict)}}
