"""What is known of a folder of models beside their weights: how to draw, what they were made from, how good they are.

In a project's `data/` that stands in params.yaml and metrics/ beside it; an exported folder carries it as card.json.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cycle_sound import params
from cycle_sound.errors import BadCard, NoModels
from cycle_sound.io import files, names
from cycle_sound.params import Config, SamplingConfigs, VocoderConfig

NAME = "card.json"


class Card(Config):
    """The facts of a folder of models."""

    sampling: SamplingConfigs  # how each direction draws unless told otherwise
    vocoder: VocoderConfig  # how a log-mel becomes a waveform
    params: dict[str, Any]  # params.yaml, but for where the data lay
    metrics: dict[str, dict[str, Any]]  # metrics/NAME.json, by NAME
    models: dict[str, dict[str, Any]]  # digest, kind and configuration of each file, once it is exported


def read(folder: Path) -> Card:
    """The card of an exported folder, or of a project's `data/`. Raises `NoModels`, `ParamsError`."""
    if (folder / NAME).is_file():
        return _exported(folder / NAME)
    project = folder.absolute().parent
    if not folder.is_dir() or not (project / "params.yaml").is_file():
        raise NoModels(folder=folder)
    tree = params.load(project / "params.yaml")
    figures = [path for path in sorted((project / "metrics").glob("*.json")) if not names.is_hidden(Path(path.name))]
    metrics = {path.stem: json.loads(path.read_text("utf-8")) for path in figures}
    return Card(
        sampling=tree.sampling, vocoder=tree.vocoder, params=_unlocated(tree.model_dump()), metrics=metrics, models={}
    )


def write(folder: Path, card: Card) -> None:
    """Write FOLDER/card.json."""
    files.write_json(folder / NAME, card.model_dump())


def _exported(path: Path) -> Card:
    try:
        return Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place + ': ' if place else ''}{first['msg']}"
        raise BadCard(path=path, reason=reason) from None


def _unlocated(tree: dict[str, Any]) -> dict[str, Any]:
    """Parameters without the sections of the data's sources: paths, proxies and cookies are for nobody else."""
    return {**tree, "data": {name: value for name, value in tree["data"].items() if not isinstance(value, dict)}}
