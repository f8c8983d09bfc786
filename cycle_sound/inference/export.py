"""One folder with all that is needed to use trained models elsewhere: safetensors, and a card for all who use them."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from cycle_sound import paths
from cycle_sound.errors import BadCard, BadTarget
from cycle_sound.inference import bundle, card, confidence, licenses
from cycle_sound.inference.card import Card, Figures
from cycle_sound.inference.confidence import Confidences
from cycle_sound.io import figures, files, templates
from cycle_sound.models import classifier, dvae, features, learned_vocoder, transformer
from cycle_sound.models.loading import LOADERS
from cycle_sound.nn import checkpoint
from cycle_sound.params import DIRECTIONS, MODALITIES, VocoderConfig, source_of

README = "README.md"
BEGUN = ".exporting"  # in a folder to which an export has begun: written first, removed last
TEMPLATES = templates.environment("cycle_sound.inference", finalize=templates.markdown)


def export(source: str | Path, folder: str | Path, license: str = "", half: bool = False) -> list[Path]:
    """Write the models of a project's `data/` or of an exported folder to FOLDER, with card.json and README.md.

    The export generates the same bytes and takes less space: a fine-tuned decoder replaces the one in its VAE's file.
    `license`: of the models, such as mit; by default that of the source, MIT for data that the program makes itself, or
    none. `half`: store weights in 16 bits instead of 32, for half the size; a seed then gives other samples, a third of
    `fine`'s pictures clearly so, while the card's figures stay those of 32 bits. `~` in paths stands for the user's
    home. Returns the files written.

    An earlier export in the folder is overwritten. Raises `BadTarget` for the models' own folder, for one that holds
    anything else, or a README.md or models that were changed by hand, and for an invalid license; also what
    `CycleSound.load` raises.
    """
    source, folder = (Path(os.path.expanduser(one)) for one in (source, folder))
    if refusal := licenses.refusal(license):
        raise BadTarget(refusal)
    described = card.read(source)
    if folder.exists() and not folder.is_dir():
        raise BadTarget(f"{folder}: not a folder")
    if folder.exists() and folder.samefile(source):
        raise BadTarget(f"{folder}: the folder of the models themselves; name another one")
    _check_target(folder, described.vocoder)
    bundle.load(source, described.vocoder, torch.device("cpu"))  # what cannot be used is not passed on
    files.write_bytes(folder / BEGUN, b"")
    (folder / README).unlink(missing_ok=True)  # after a kill there is none, not one of other models
    _write(source, folder, described.vocoder, half)
    update = {
        "models": _described(folder, described.vocoder),
        "confidence": _renamed(folder, described.confidence),
        "license": license or described.license or ("mit" if described.source == "synthetic" else ""),
    }
    described = described.model_copy(update=update)
    written = [folder / name for name in described.models]
    card.write(folder, described)
    files.write_bytes(folder / README, readme(described).encode())
    for part in _parts(folder, written):
        part.unlink()
    (folder / BEGUN).unlink()
    return [*written, folder / card.NAME, folder / README]


def _check_target(folder: Path, vocoder: VocoderConfig) -> None:
    """Raise `BadTarget` for a folder in which anything but an earlier export would be written over."""
    earlier, models = replaceable(folder), {*bundle.model_files(folder, vocoder)}
    # An export that did not end has left models there, and no card; without its mark they are somebody else's.
    begun = {*models, *_parts(folder, models), folder / BEGUN} if (folder / BEGUN).is_file() else set()
    if earlier is None and not {path for path in folder.rglob("*") if not path.is_dir()} <= begun:
        raise BadTarget(f"{folder}: holds other files; name a new or an empty folder")
    if earlier is not None and not begun:
        _check_own(folder, earlier, models)
    for path in models:
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
            raise BadTarget(f"{path.parent}: a link out of the folder; name a new or an empty one")


def _parts(folder: Path, models: Iterable[Path]) -> list[Path]:
    """What kills have left in a folder of files that were being written, as `files.replacing` names it."""
    whole = *models, folder / card.NAME, folder / README
    return [part for path in whole for part in path.parent.glob(f".{path.name}.*.part")]


def _check_own(folder: Path, earlier: Card, models: Iterable[Path]) -> None:
    """Raise `BadTarget` for one of the models that is there and is not the file that an earlier export has written."""
    for path in models:
        described = earlier.models.get(path.relative_to(folder).as_posix(), {})
        if path.is_file() and described.get("sha256") != files.digest(path):
            raise BadTarget(f"{path}: not the file that {card.NAME} describes; move it, or name another folder")


def replaceable(folder: Path) -> Card | None:
    """The card of an earlier export in a folder; None where no card lies there.

    Raises `BadTarget` for another file of that name, and for a README.md that is not as that export wrote it.
    """
    try:
        earlier = card.exported(folder) if os.path.lexists(folder / card.NAME) else None
    except (BadCard, OSError):
        raise BadTarget(f"{folder / card.NAME}: not from an export; name a new or an empty folder") from None
    about = folder / README
    if earlier is not None and about.is_file() and about.read_bytes() != _readme(earlier):
        raise BadTarget(f"{about}: differs from what an export of this version writes; move it, or name another folder")
    return earlier


def _readme(earlier: Card) -> bytes | None:
    """What an export has written beside a card; None for a card of no export."""
    try:
        return readme(earlier).encode()
    except (KeyError, TypeError, TemplateError):  # it describes no models, or not as an export does
        return None


def _write(source: Path, folder: Path, vocoder: VocoderConfig, half: bool) -> None:
    """Write the files of the models; what an earlier export left beside them goes."""
    decoders = {one: path for one in MODALITIES if (path := bundle.decoder_file(one, source)).is_file()}
    copied = [path for path in bundle.model_files(source, vocoder) if path not in decoders.values()]
    written = {path: folder / path.relative_to(source) for path in copied}
    for path, copy in written.items():
        files.write_bytes(copy, path.read_bytes())
    for left in set(bundle.model_files(folder, vocoder)) - set(written.values()):
        left.unlink()
    for modality, decoder in decoders.items():
        model, facts = dvae.load(paths.vae(modality, source), decoder)
        dvae.save(paths.vae(modality, folder), model, facts.shape, facts.shards, facts.audio)
    for copy in written.values() if half else ():
        checkpoint.halve(copy)
    if decoders or half:
        _rename(folder, half)


def _rename(folder: Path, half: bool) -> None:
    """Let transformers name the files beside them that they belong to, which are no longer those of their training."""
    digests = {one: files.digest(paths.vae(one, folder)) for one in MODALITIES}
    for direction in DIRECTIONS:
        path = paths.cycle(direction, folder)
        generator, known = transformer.load(path)
        network = bundle.network_file(source_of(direction), folder) if known.network_digest else None
        transformer.save(path, generator, digests, files.digest(network) if network else "")
        if half:
            checkpoint.halve(path)


def _renamed(folder: Path, confidences: Confidences) -> Confidences:
    """The confidences, which name the files of a folder as the models that they were fitted to."""
    own = confidence.digests(folder).model_dump()
    return Confidences.model_validate(
        {one: fitted and {**fitted.model_dump(), "models": own} for one, fitted in dict(confidences).items()}
    )


def readme(described: Card) -> str:
    """The model card, in Markdown; no name or label, whatever it holds, breaks a table or turns into markup."""
    directions = {one: figures.grouped(_numbers(described.metrics.get(f"evaluate_{one}", {}))) for one in DIRECTIONS}
    return TEMPLATES.get_template("card.md.j2").render(
        models=sorted(described.models.items()),
        data=described.models["vae/image.safetensors"]["shards"],
        directions=[(one, found) for one, found in directions.items() if found],
        sizes=_sample_sizes(described),
        confidences=[(one, fitted) for one in DIRECTIONS if (fitted := described.confidence[one])],
        source=described.source,
        license=described.license,
        half=any(one.get("bits") == 16 for one in described.models.values()),
        networks=sorted({str(one["network"]) for one in described.models.values() if one.get("network")}),
        number=_number,
    )


def _sample_sizes(described: Card) -> str:
    """Which figures are not of all test pairs; "" where the card does not say how many there were."""
    evaluate = described.params.get("evaluate")
    asked = evaluate if isinstance(evaluate, dict) else {}
    pairs = [described.metrics.get(f"evaluate_{one}", {}).get("pairs") for one in DIRECTIONS]
    counts = next(filter(None, pairs), None), *map(asked.get, ("retrieval_queries", "kernel_pairs", "waveforms"))
    whole = [count for count in counts if isinstance(count, int)]
    return figures.sample_sizes(*whole) if len(whole) == len(counts) else ""


def _number(value: float | None) -> str:
    """A figure for a table: counts as they are, others with three decimals, nothing for None."""
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _numbers(measured: Figures) -> dict[str, float]:
    return {name: value for name, value in measured.items() if not isinstance(value, str)}


def _described(source: Path, vocoder: VocoderConfig) -> dict[str, dict[str, Any]]:
    """Digest, precision, kind and configuration of each file, by its path in the folder."""
    kinds = (*LOADERS, transformer.KIND, learned_vocoder.KIND, classifier.KIND, features.KIND)
    return {
        path.relative_to(source).as_posix(): {
            "sha256": files.digest(path),
            "bits": checkpoint.bits(path),
            **json.loads(checkpoint.text(path, *kinds)),
        }
        for path in bundle.model_files(source, vocoder)
    }
