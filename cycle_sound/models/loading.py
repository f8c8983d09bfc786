"""Loading a tokenizer of any kind from its checkpoint."""

from pathlib import Path
from typing import NamedTuple

import torch

from cycle_sound.io import files
from cycle_sound.models import dvae
from cycle_sound.models.tokenizer import CodeShape, Tokenizer
from cycle_sound.nn import checkpoint
from cycle_sound.params import AudioConfig, PictureShape


class LoadedTokenizer(NamedTuple):
    """A trained tokenizer with what its file says of it."""

    model: Tokenizer
    picture: PictureShape  # (c, h, w) of the pictures it was trained on
    digest: str  # SHA-256 of the file: what was made with another tokenizer is stale
    shards: str  # digest of the shards it was trained on
    audio: AudioConfig  # how their sounds became log-mels

    @property
    def codes(self) -> CodeShape:
        """The shape of the codes of one of its pictures."""
        return self.model.code_shape(self.picture)


LOADERS = {dvae.KIND: dvae.load}  # by the kind that a checkpoint says it holds


def load_tokenizer(path: Path, device: torch.device, decoder: Path | None = None) -> LoadedTokenizer:
    """Rebuild a tokenizer from its file on a device, with a fine-tuned `decoder` in place of its own if one is given.

    It is frozen: a loss through its decoder computes no gradients of its weights.

    Raises `BadCheckpoint`, and `MixedModels` for the decoder of another tokenizer.
    """
    kind = checkpoint.facts(path, checkpoint.Kind, *LOADERS).kind
    model, facts = LOADERS[str(kind)](path, decoder)
    return LoadedTokenizer(
        model.to(device).requires_grad_(False), facts.shape, files.digest(path), facts.shards, facts.audio
    )
