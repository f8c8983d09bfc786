"""What is known of a folder of models beside their weights: how to draw, what they were made from, how good they are.

In a project's `data/` that stands in params.yaml and metrics/ beside it; an exported folder carries it as card.json.
"""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter, field_validator
from pydantic_core import from_json

from cycle_sound import params, paths
from cycle_sound.errors import BadCard, OtherDigest
from cycle_sound.inference import bundle, confidence, licenses, locating
from cycle_sound.inference.confidence import NONE, Confidences
from cycle_sound.io import files, params_file
from cycle_sound.params import Config, SamplingConfigs, VocoderConfig, fault

NAME = locating.CARD
UNHEARD = ("launcher", "parallel", "loader", "init")  # sections of params.yaml that change no result, or name folders
MAX_BYTES = 1 << 24  # of a card, which has 20 kB or so; read, it takes ten times as much
Figures = dict[str, int | float | str]  # a digest is one, too


class Card(Config):
    """The facts of a folder of models."""

    sampling: SamplingConfigs  # how each direction draws unless told otherwise
    vocoder: VocoderConfig  # how a log-mel becomes a waveform
    confidence: Confidences = NONE  # in what each direction makes; older cards carry none
    params: dict[str, JsonValue]  # params.yaml, but for where the data lay and what a machine is told
    metrics: dict[str, Figures]  # metrics/NAME.json, by NAME
    models: dict[str, dict[str, JsonValue]]  # of each exported file: digest, bits of a weight, kind, configuration
    # Of the models, once they are exported; "" where nobody has said.
    license: Annotated[str, Field(pattern=licenses.NAME)] = ""

    @field_validator("sampling", mode="before")
    @classmethod
    def _of_one_candidate(cls, sampling: Any) -> Any:
        """Older cards do not say how many candidates are drawn: there was one."""
        if not isinstance(sampling, dict):
            return sampling
        return {one: {"candidates": 1} | of if isinstance(of, dict) else of for one, of in sampling.items()}

    @property
    def source(self) -> str:
        """What the models were trained on, as data.source names it; "" where the card does not say."""
        data = self.params.get("data")
        source = data.get("source") if isinstance(data, dict) else None
        return source if isinstance(source, str) else ""


def read(folder: Path) -> Card:
    """The card of an exported folder, or of a project's `data/`.

    Raises `NoModels`, `ParamsError`, `BadConfidence`, and `BadCheckpoint` where a model is not the one that an exported
    card describes.
    """
    locating.check(folder)
    if (folder / NAME).is_file():
        return _checked(folder)
    project = locating.project_of(folder)
    tree = params_file.load(project / "params.yaml")
    figures = [path for path in (project / one for one in paths.every_metrics()) if path.is_file()]
    metrics = {path.stem: _parsed(path, Figures) for path in figures}
    return Card(
        sampling=tree.sampling,
        vocoder=tree.vocoder,
        confidence=confidence.load(folder),
        params=unlocated(tree.model_dump()),
        metrics=metrics,
        models={},
    )


def exported(folder: Path) -> Card:
    """What FOLDER/card.json says, whatever has become of the models. Raises `BadCard`."""
    found: Card = _parsed(folder / NAME, Card)
    return found


def write(folder: Path, card: Card) -> None:
    """Write FOLDER/card.json."""
    files.write_json(folder / NAME, card.model_dump())


def _checked(folder: Path) -> Card:
    """The card of an exported folder, in which its models lie unchanged."""
    card = exported(folder)
    for path in bundle.model_files(folder, card.vocoder):
        described = card.models.get(path.relative_to(folder).as_posix(), {})
        if path.is_file() and described.get("sha256") != files.digest(path):
            raise OtherDigest(path=path, card=NAME)
    return card


def _parsed(path: Path, schema: Any) -> Any:
    """A JSON file that a schema describes."""
    content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    try:
        tree = from_json(content)
        json.dumps(tree, allow_nan=False)  # raises ValueError for 1e999 and what else cannot be written again
        return TypeAdapter(schema).validate_python(tree)
    except ValueError as error:
        raise BadCard(path=path, reason=fault(error)) from None


def unlocated(tree: dict[str, Any]) -> dict[str, Any]:
    """Parameters without the sections of the data's sources: paths, proxies and cookies are for nobody else.

    And without the folders of models that trainings went on from, and what tells a machine how to compute, which
    changes no result. Of a file of weights the name stays.
    """
    data = {name: value for name, value in tree["data"].items() if not isinstance(value, dict)}
    return _nowhere({name: value for name, value in {**tree, "data": data}.items() if name not in UNHEARD})


def _nowhere(tree: dict[str, Any]) -> dict[str, Any]:
    """A tree in which files of weights are named without the folder that they lie in."""
    own = {name: Path(value).name if name in params.WEIGHTS else value for name, value in tree.items()}
    return {name: _nowhere(value) if isinstance(value, dict) else value for name, value in own.items()}
