"""The trained models as one: both VAEs, both transformers, and the classifiers where there are any."""

from pathlib import Path
from typing import NamedTuple

import torch

from cycle_sound import checkpoint, classifier, dvae, files, paths, transformer
from cycle_sound.checkpoint import BadCheckpoint
from cycle_sound.classifier import Classifier
from cycle_sound.dvae import DiscreteVAE
from cycle_sound.params import DIRECTIONS, MODALITIES, Audio, Direction, Modality
from cycle_sound.transformer import Transformer


class MixedModels(ValueError):
    """A transformer beside a VAE whose tokens it does not know."""


class Models(NamedTuple):
    """The models, on one device and ready to use, and what they say of their pictures."""

    vaes: dict[Modality, DiscreteVAE]
    transformers: dict[Direction, Transformer]
    classifiers: dict[Modality, Classifier | None]  # None: the data had no labels, or no classifier is there
    size: int  # pixels, of an image
    frames: int  # of a log-mel
    audio: Audio  # how a sound becomes a log-mel and back
    device: torch.device


def load(folder: Path, device: torch.device) -> Models:
    """Read the models of a project's `data/` or of an exported folder.

    Raises `MixedModels` where they do not belong together, `BadCheckpoint`, FileNotFoundError.
    """
    _check(folder)
    facts = {modality: checkpoint.facts(paths.vae(modality, folder), dvae.KIND) for modality in MODALITIES}
    try:
        return Models(
            vaes={modality: dvae.load(paths.vae(modality, folder)).to(device) for modality in MODALITIES},
            transformers={way: transformer.load(paths.transformer(way, folder)).to(device) for way in DIRECTIONS},
            classifiers={modality: _judge(paths.classifier(modality, folder), device) for modality in MODALITIES},
            size=facts["image"]["shape"][1],
            frames=facts["audio"]["shape"][2],
            audio=Audio.model_validate(facts["audio"]["audio"]),
            device=device,
        )
    except (KeyError, TypeError, RuntimeError, ValueError) as error:  # facts or weights that the code does not know
        if isinstance(error, BadCheckpoint | torch.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadCheckpoint(f"{folder}: models of another version of this program: {reason}") from error


def _check(folder: Path) -> None:
    """Refuse a transformer beside VAEs other than those whose tokens it was trained on."""
    digests = {}
    for modality in MODALITIES:
        checkpoint.facts(paths.vae(modality, folder), dvae.KIND)  # says what is wrong with a file that is no VAE
        digests[modality] = files.digest(paths.vae(modality, folder))
    for direction in DIRECTIONS:
        path = paths.transformer(direction, folder)
        known = checkpoint.facts(path, transformer.KIND).get("vaes", {})
        for modality in MODALITIES:
            if known.get(modality) != digests[modality]:
                other = paths.vae(modality, folder)
                raise MixedModels(f"{path}: trained on the tokens of another VAE than {other}; rebuild or copy both")


def _judge(path: Path, device: torch.device) -> Classifier | None:
    judge = classifier.load(path) if path.is_file() else None
    return judge and judge.to(device)
