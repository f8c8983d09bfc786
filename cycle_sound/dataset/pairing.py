"""Which training pairs are learned from as pairs, where not all are."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import dropping, headers
from cycle_sound.errors import BadPairing
from cycle_sound.io import files


class Pairing:
    """The rows of train that keep their pairing, memory-mapped, tied to the shards whose rows they are."""

    def __init__(self, folder: Path, shards: str) -> None:
        """Open them. Raises `StaleCache` where they are of other shards, `BadPairing`, FileNotFoundError."""
        header, self._rows = dropping.opened(folder, dropping.ROWS)
        fits = self._rows.ndim == 1 and self._rows.dtype == np.int64 and len(self._rows)
        if not fits or not 0 <= self._rows.min() <= self._rows.max() < header.pairs:
            raise BadPairing(path=folder / dropping.ROWS, reason=f"{self._rows.dtype} {self._rows.shape}")
        headers.check(folder, "train", header, shards=shards)
        self._given = folder, shards

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, what is mapped would be copied."""
        return Pairing, self._given

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows' file."""
        return files.digest(self._given[0] / dropping.ROWS)

    def rows(self, places: Tensor) -> Tensor:
        """The rows at some places among them, each in 0 … len - 1: int64 (b,) → (b,)."""
        return torch.from_numpy(self._rows[places.numpy()])


def of(folder: Path, shards: str) -> Pairing | None:
    """The pairing in a folder; None where that is empty, as all pairs are left. Raises what `Pairing` raises."""
    return Pairing(folder, shards) if (folder / dropping.ROWS).exists() else None
