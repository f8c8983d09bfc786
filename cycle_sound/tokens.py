"""The token cache: the tokens of every clip, memory-mapped, tied to the VAE and the shards they came from."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound import files
from cycle_sound.batches import Draws
from cycle_sound.shards import SplitName


class StaleTokens(ValueError):
    """Tokens made by another VAE or from other shards than those given."""


class Header(NamedTuple):
    """What a token file must say of itself."""

    vae: str  # SHA-256 of the VAE's file
    shards: str  # digest of the shards' index
    grid: tuple[int, int]  # rows, columns
    codebook_size: int
    ids: list[str]  # of the clips, in the order of the shards


class TokenCache:
    """One split of one modality. View 0 is the clip as it is; the others are shifted copies."""

    def __init__(self, folder: Path, split: SplitName, vae: str, shards: str) -> None:
        """Open a split. Raises `StaleTokens` where the digests are not those in its header."""
        fields = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
        self.header = Header(**{**fields, "grid": tuple(fields["grid"])})
        for what, mine, given in (("VAE", self.header.vae, vae), ("shards", self.header.shards, shards)):
            if mine != given:
                raise StaleTokens(f"{folder}/{split}: made with other {what} ({mine[:12]}, not {given[:12]})")
        self._tokens = np.load(folder / f"{split}.tokens.npy", mmap_mode="r")  # (n, views, t, top) uint16
        self._shares = np.load(folder / f"{split}.shares.npy", mmap_mode="r")  # (n, views, t, top) float16

    def __len__(self) -> int:
        return len(self.header.ids)

    @property
    def views(self) -> int:
        """Number of views of each clip."""
        return int(self._tokens.shape[1])

    def most_likely(self, rows: Tensor) -> Tensor:
        """Tokens of the clips as they are: (b,) → (b, t) int64."""
        return torch.from_numpy(self._tokens[rows.numpy(), 0, :, 0].astype(np.int64))

    def drawn(self, rows: Tensor, draws: Draws) -> Tensor:
        """Tokens of any view of each clip, drawn from the kept probabilities: (b,) → (b, t) int64."""
        views = draws.integers(self.views)
        tokens = torch.from_numpy(self._tokens[rows.numpy(), views.numpy()].astype(np.int64))  # (b, t, top)
        if tokens.shape[-1] == 1:
            return tokens[..., 0]
        shares = torch.from_numpy(self._shares[rows.numpy(), views.numpy()].astype(np.float32)).cumsum(-1)
        passed = shares < draws.uniform(tokens.shape[1], 1) * shares[..., -1:]
        return tokens.gather(-1, passed.sum(-1, keepdim=True).clamp(max=tokens.shape[-1] - 1))[..., 0]


def write(folder: Path, split: SplitName, header: Header, tokens: np.ndarray, shares: np.ndarray) -> None:
    """Write a split: tokens (n, views, t, top) and their probabilities, the most likely first; the header last."""
    for name, array in (("tokens", tokens.astype(np.uint16)), ("shares", shares.astype(np.float16))):
        with files.replacing(folder / f"{split}.{name}.npy") as part, part.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    files.write_json(folder / f"{split}.json", header._asdict())
