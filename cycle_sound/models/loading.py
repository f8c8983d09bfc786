"""Loading a tokenizer of any kind from its checkpoint."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from cycle_sound.io import files
from cycle_sound.models import dvae
from cycle_sound.models.tokenizer import CodeShape, Tokenizer
from cycle_sound.nn import checkpoint


class LoadedTokenizer(NamedTuple):
    """A trained tokenizer with what its file says of it."""

    model: Tokenizer
    picture: tuple[int, int, int]  # (c, h, w) of the pictures it was trained on
    digest: str  # SHA-256 of the file: what was made with another tokenizer is stale
    shards: str  # digest of the shards it was trained on
    audio: dict[str, Any]  # the parameters by which their sounds became log-mels

    @property
    def codes(self) -> CodeShape:
        """The shape of the codes of one of its pictures."""
        return self.model.code_shape(self.picture)


LOADERS = {dvae.KIND: dvae.load}  # by the kind that a checkpoint says it holds


def load_tokenizer(path: Path, device: torch.device) -> LoadedTokenizer:
    """Rebuild a tokenizer from its file alone, on a device. Raises `BadCheckpoint`."""
    facts = checkpoint.facts(path, *LOADERS)
    model = LOADERS[facts["kind"]](path).to(device)
    return LoadedTokenizer(model, tuple(facts["shape"]), files.digest(path), facts["shards"], facts["audio"])
