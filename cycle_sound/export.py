"""One folder with all that is needed to use trained models elsewhere: safetensors, and a card for all who use them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cycle_sound import card, checkpoint, classifier, dvae, files, models, paths, transformer
from cycle_sound.card import Card
from cycle_sound.params import DIRECTIONS, MODALITIES

README = "README.md"
BOUNDS = ("_low", "_high", "_floor", "_ceiling")  # what belongs to another figure


class BadTarget(ValueError):
    """A folder that models must not be exported to."""


def export(source: Path, folder: Path) -> list[Path]:
    """Copy the models of a project's `data/` or of an exported folder to FOLDER, with card.json and README.md.

    Raises `BadTarget` for the models' own folder and for one that holds anything else; what `models.load` raises.
    """
    if folder.exists() and (not folder.is_dir() or folder.resolve() == source.resolve()):
        raise BadTarget(f"{folder}: not a folder to export to")
    if folder.exists() and any(folder.iterdir()) and not (folder / card.NAME).is_file():
        raise BadTarget(f"{folder}: holds other files; name a new or an empty folder")
    described = card.read(source)
    models.load(source, torch.device("cpu"))  # what cannot be used is not passed on
    described = described.model_copy(update={"models": _described(source)})
    written = [folder / name for name in described.models]
    for path in written:
        files.write_bytes(path, (source / path.relative_to(folder)).read_bytes())
    card.write(folder, described)
    files.write_bytes(folder / README, readme(described).encode())
    return [*written, folder / card.NAME, folder / README]


def readme(described: Card) -> str:
    """The model card, in Markdown."""
    rows = [f"| {name} | {facts['kind']} | `{facts['sha256']}` |" for name, facts in sorted(described.models.items())]
    data = described.models["vae/image.safetensors"]["shards"]
    return "\n".join(
        [
            "# Cycle_Sound: models for sound → picture and picture → sound",
            "",
            "Two discrete VAEs, two transformers and, where the data has labels, two classifiers. "
            "Every file is safetensors and carries its own configuration; `card.json` repeats them for programs, "
            "beside all parameters and figures. The folder needs neither the repository nor a network:",
            "",
            "```sh",
            "cycle-sound image SOUND.wav -o out --models THIS_FOLDER",
            "cycle-sound sound PICTURE.jpg -o out --models THIS_FOLDER",
            "```",
            "",
            "| file | kind | SHA-256 |",
            "|---|---|---|",
            *rows,
            "",
            f"Trained on the data of digest `{data}`.",
            "",
            *_figures(described.metrics),
            "## Use and licence",
            "",
            "The program is under the MIT license. " + _rights(described.params["data"]["source"]),
            "",
            "What the models make resembles what they were trained on, and says nothing about the world. "
            "A sound or picture unlike the training data still gives a result, without a warning.",
            "",
        ]
    )


def _figures(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The figures of each direction on the test split, as tables."""
    lines = []
    for direction in DIRECTIONS:
        figures = metrics.get(f"evaluate_{direction}", {})
        names = [name for name in figures if not name.endswith(BOUNDS)]
        if names:
            lines += [f"## {direction.replace('_', ' ')}, on test pairs", ""]
            lines += ["| figure | value | 95 % interval | floor | ceiling |", "|---|---|---|---|---|"]
            lines += [_row(name, figures) for name in names]
            lines.append("")
    return lines


def _row(name: str, figures: Mapping[str, Any]) -> str:
    low, high, floor, ceiling = (f"{figures[name + end]:.3f}" if name + end in figures else "" for end in BOUNDS)
    interval = f"{low} – {high}" if low else ""
    value = figures[name]
    return f"| {name} | {value if isinstance(value, int) else f'{value:.3f}'} | {interval} | {floor} | {ceiling} |"


def _rights(source: str) -> str:
    """What is known of the rights in the training data, by the name of its source."""
    if source == "synthetic":
        return (
            "The training data is a toy orchestra that the program draws and synthesises: nobody else has rights in it."
        )
    return (
        f"The training data (source `{source}`) is not part of the program, which does not know its licence: "
        "whoever passes these models on must look it up and name it."
    )


def _described(source: Path) -> dict[str, dict[str, Any]]:
    """Digest, kind and configuration of each file, by its path in the folder."""
    kinds = {paths.vae(modality, source): dvae.KIND for modality in MODALITIES}
    kinds |= {paths.transformer(direction, source): transformer.KIND for direction in DIRECTIONS}
    judges = {paths.classifier(modality, source): classifier.KIND for modality in MODALITIES}
    kinds |= {path: kind for path, kind in judges.items() if path.is_file()}
    return {
        path.relative_to(source).as_posix(): {"sha256": files.digest(path), **checkpoint.facts(path, kind)}
        for path, kind in kinds.items()
    }
