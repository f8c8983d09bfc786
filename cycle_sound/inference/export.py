"""One folder with all that is needed to use trained models elsewhere: safetensors, and a card for all who use them."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from cycle_sound import paths
from cycle_sound.errors import BadTarget
from cycle_sound.inference import bundle, card, confidence
from cycle_sound.inference.card import Card, Figures
from cycle_sound.inference.confidence import Confidences
from cycle_sound.io import figures, files, templates
from cycle_sound.models import classifier, dvae, features, learned_vocoder, transformer
from cycle_sound.models.loading import LOADERS
from cycle_sound.nn import checkpoint
from cycle_sound.params import DIRECTIONS, MODALITIES, VocoderConfig

README = "README.md"
TEMPLATES = templates.environment("cycle_sound.inference", finalize=templates.markdown)


def export(source: Path, folder: Path, licence: str = "") -> list[Path]:
    """Write the models of a project's `data/` or of an exported folder to FOLDER, with card.json and README.md.

    They generate the same bytes, from fewer: a fine-tuned decoder takes the place of the one in its VAE's file.
    `licence`: of the models, such as mit; without one, what the source has, MIT for those trained on data that the
    program makes itself, or none.

    Raises `BadTarget` for the models' own folder, for one that holds anything else and for what names no licence; what
    `bundle.load` raises.
    """
    if not re.fullmatch(card.LICENSE, licence):
        raise BadTarget(f"{licence}: names no licence as the Hub does, such as mit or cc-by-4.0")
    if folder.exists() and (not folder.is_dir() or folder.resolve() == source.resolve()):
        raise BadTarget(f"{folder}: not a folder to export to")
    described = card.read(source)
    if not (folder / card.NAME).is_file() and not _files(folder) <= {*bundle.model_files(folder, described.vocoder)}:
        raise BadTarget(f"{folder}: holds other files; name a new or an empty folder")
    bundle.load(source, described.vocoder, torch.device("cpu"))  # what cannot be used is not passed on
    _write(source, folder, described.vocoder)
    update = {
        "models": _described(folder, described.vocoder),
        "confidence": _of_transformers(folder, described.confidence),
        "license": licence or described.license or ("mit" if described.source == "synthetic" else ""),
    }
    described = described.model_copy(update=update)
    written = [folder / name for name in described.models]
    card.write(folder, described)
    files.write_bytes(folder / README, readme(described).encode())
    return [*written, folder / card.NAME, folder / README]


def _files(folder: Path) -> set[Path]:
    """The files below a folder. An export that did not end has left models there, and no card."""
    return {path for path in folder.rglob("*") if not path.is_dir()}


def _write(source: Path, folder: Path, vocoder: VocoderConfig) -> None:
    """Write the files of the models; what an earlier export left beside them goes."""
    decoders = {one: path for one in MODALITIES if (path := bundle.decoder_file(one, source)).is_file()}
    copied = [path for path in bundle.model_files(source, vocoder) if path not in decoders.values()]
    for path in copied:
        files.write_bytes(folder / path.relative_to(source), path.read_bytes())
    for left in set(bundle.model_files(folder, vocoder)) - {folder / path.relative_to(source) for path in copied}:
        left.unlink()
    for modality, decoder in decoders.items():
        model, facts = dvae.load(paths.vae(modality, source), decoder)
        dvae.save(paths.vae(modality, folder), model, facts.shape, facts.shards, facts.audio)
    for direction in DIRECTIONS if decoders else ():  # which name the files of the tokenizers that they know
        generator, known = transformer.load(paths.cycle(direction, source))
        digests = {one: files.digest(paths.vae(one, folder)) for one in MODALITIES}
        transformer.save(paths.cycle(direction, folder), generator, digests, known.network_digest)


def _of_transformers(folder: Path, confidences: Confidences) -> Confidences:
    """The confidences in the transformers of a folder, which are those they were fitted to."""
    own = confidence.digests(folder)
    return Confidences.model_validate(
        {one: fitted and {**fitted.model_dump(), "transformers": own} for one, fitted in dict(confidences).items()}
    )


def readme(described: Card) -> str:
    """The model card, in Markdown; no name or label, whatever it holds, breaks a table or turns into markup."""
    directions = {one: figures.grouped(_numbers(described.metrics.get(f"evaluate_{one}", {}))) for one in DIRECTIONS}
    return TEMPLATES.get_template("card.md.j2").render(
        models=sorted(described.models.items()),
        data=described.models["vae/image.safetensors"]["shards"],
        directions=[(one, found) for one, found in directions.items() if found],
        confidences=[(one, fitted) for one in DIRECTIONS if (fitted := described.confidence[one])],
        source=described.source,
        licence=described.license,
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
    kinds = (*LOADERS, transformer.KIND, learned_vocoder.KIND, classifier.KIND, features.KIND)
    return {
        path.relative_to(source).as_posix(): {"sha256": files.digest(path), **json.loads(checkpoint.text(path, *kinds))}
        for path in bundle.model_files(source, vocoder)
    }
