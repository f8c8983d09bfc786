"""One folder with all that is needed to use trained models elsewhere: safetensors, and a card for all who use them."""

import json
from pathlib import Path
from typing import Any

import torch

from cycle_sound.errors import BadTarget
from cycle_sound.inference import bundle, card
from cycle_sound.inference.card import Card, Figures
from cycle_sound.io import figures, files, templates
from cycle_sound.models import classifier, dvae, features, learned_vocoder, transformer
from cycle_sound.models.loading import LOADERS
from cycle_sound.nn import checkpoint
from cycle_sound.params import DIRECTIONS, VocoderConfig

README = "README.md"
TEMPLATES = templates.environment("cycle_sound.inference", finalize=templates.markdown)


def export(source: Path, folder: Path) -> list[Path]:
    """Copy the models of a project's `data/` or of an exported folder to FOLDER, with card.json and README.md.

    Raises `BadTarget` for the models' own folder and for one that holds anything else; what `bundle.load` raises.
    """
    if folder.exists() and (not folder.is_dir() or folder.resolve() == source.resolve()):
        raise BadTarget(f"{folder}: not a folder to export to")
    if folder.exists() and any(folder.iterdir()) and not (folder / card.NAME).is_file():
        raise BadTarget(f"{folder}: holds other files; name a new or an empty folder")
    described = card.read(source)
    bundle.load(source, described.vocoder, torch.device("cpu"))  # what cannot be used is not passed on
    described = described.model_copy(update={"models": _described(source, described.vocoder)})
    written = [folder / name for name in described.models]
    for path in written:
        files.write_bytes(path, (source / path.relative_to(folder)).read_bytes())
    card.write(folder, described)
    files.write_bytes(folder / README, readme(described).encode())
    return [*written, folder / card.NAME, folder / README]


def readme(described: Card) -> str:
    """The model card, in Markdown; no name or label, whatever it holds, breaks a table or turns into markup."""
    directions = {one: figures.grouped(_numbers(described.metrics.get(f"evaluate_{one}", {}))) for one in DIRECTIONS}
    return TEMPLATES.get_template("card.md.j2").render(
        models=sorted(described.models.items()),
        data=described.models["vae/image.safetensors"]["shards"],
        directions=[(one, found) for one, found in directions.items() if found],
        confidences=[(one, fitted) for one in DIRECTIONS if (fitted := described.confidence[one])],
        source=described.source,
        networks=sorted({str(one["network"]) for one in described.models.values() if one.get("network")}),
        number=_number,
    )


def _number(value: float | None) -> str:
    """A figure for a table: counts as they are, others with three decimals, nothing for None."""
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _numbers(measured: Figures) -> dict[str, float]:
    return {name: value for name, value in measured.items() if not isinstance(value, str)}


def _described(source: Path, vocoder: VocoderConfig) -> dict[str, dict[str, Any]]:
    """Digest, kind and configuration of each file, by its path in the folder."""
    kinds = (*LOADERS, dvae.DECODER_KIND, transformer.KIND, learned_vocoder.KIND, classifier.KIND, features.KIND)
    return {
        path.relative_to(source).as_posix(): {"sha256": files.digest(path), **json.loads(checkpoint.text(path, *kinds))}
        for path in bundle.model_files(source, vocoder)
    }
