"""The trained models as one: both tokenizers, both transformers, the vocoder, and classifiers where there are any."""

from pathlib import Path
from typing import NamedTuple

import torch

from cycle_sound import paths
from cycle_sound.errors import MixedModels, OtherVersion, UserError
from cycle_sound.models import classifier, transformer
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.loading import LoadedTokenizer, load_tokenizer
from cycle_sound.models.transformer import Transformer
from cycle_sound.models.vocoder import GriffinLim, Vocoder
from cycle_sound.nn import checkpoint
from cycle_sound.params import DIRECTIONS, MODALITIES, AudioConfig, Direction, Modality, VocoderConfig


class Models(NamedTuple):
    """The models, on one device and ready to use."""

    tokenizers: dict[Modality, LoadedTokenizer]
    transformers: dict[Direction, Transformer]
    classifiers: dict[Modality, Classifier | None]  # None: the data had no labels, or no classifier is there
    vocoder: Vocoder
    audio: AudioConfig  # how a sound becomes a log-mel
    device: torch.device

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.tokenizers["image"].picture[1]

    @property
    def seconds(self) -> float:
        """Length of the sound that belongs to one picture."""
        return self.tokenizers["audio"].picture[2] * self.audio.hop_length / self.audio.sample_rate


def load(folder: Path, vocoder: VocoderConfig, device: torch.device) -> Models:
    """Read the models of a project's `data/` or of an exported folder.

    Raises `MixedModels` where they do not belong together, `BadCheckpoint`.
    """
    try:
        tokenizers = {modality: load_tokenizer(paths.vae(modality, folder), device) for modality in MODALITIES}
        _check(folder, tokenizers)
        audio = AudioConfig.model_validate(tokenizers["audio"].audio)
        return Models(
            tokenizers,
            {one: transformer.load(paths.transformer(one, folder)).to(device) for one in DIRECTIONS},
            {modality: _classifier(paths.classifier(modality, folder), device) for modality in MODALITIES},
            GriffinLim(audio, vocoder),
            audio,
            device,
        )
    except (KeyError, TypeError, RuntimeError, ValueError) as error:  # facts or weights that the code does not know
        if isinstance(error, UserError | torch.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise OtherVersion(folder=folder, reason=reason) from error


def _check(folder: Path, tokenizers: dict[Modality, LoadedTokenizer]) -> None:
    """Refuse a transformer beside tokenizers other than those whose codes it was trained on."""
    for direction in DIRECTIONS:
        path = paths.transformer(direction, folder)
        known = checkpoint.facts(path, transformer.KIND).get("tokenizers", {})
        for modality, tokenizer in tokenizers.items():
            if known.get(modality) != tokenizer.digest:
                raise MixedModels(transformer=path, vae=paths.vae(modality, folder))


def _classifier(path: Path, device: torch.device) -> Classifier | None:
    model = classifier.load(path) if path.is_file() else None
    return model and model.to(device)
