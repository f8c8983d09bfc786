"""The cache of drawn sources: one that a model drew for every target without a partner, memory-mapped, and its score.

A source lies there as what a transformer reads of it: a picture as in shards (uint8 pixels, or a float16 log-mel),
codes (uint16), or features (float16).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import headers, npy
from cycle_sound.media import pixels
from cycle_sound.params import SplitName


class Header(NamedTuple):
    """What a file of drawn sources must say of itself."""

    work: str  # the identity of the drawing: of its models, settings and code
    shape: tuple[int, int, int]  # of what is read of one source
    pairs: int  # targets, in the order of the shards


class DrawnCache:
    """The drawn sources of one split of targets."""

    def __init__(self, folder: Path, split: SplitName, work: str) -> None:
        """Open a split. Raises `StaleCache` where its header names other work, FileNotFoundError."""
        self.header = headers.read(folder, split, Header)
        headers.check(folder, split, self.header, work=work)
        self._sources = npy.mapped(folder / f"{split}.sources.npy")  # (n, c, rows, columns)
        self.scores = npy.mapped(folder / f"{split}.scores.npy")  # float64 (n,), nats
        self._given = folder, split, work

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, what is mapped would be copied."""
        return DrawnCache, self._given

    def __len__(self) -> int:
        return self.header.pairs

    def sources(self, rows: Tensor) -> Tensor:
        """What a transformer reads of the sources: (b,) → float32 (b, c, rows, columns), or int64 of codes."""
        found = self._sources[rows.numpy()]
        if found.dtype == np.uint8:
            return pixels.to_float(torch.from_numpy(found))
        return torch.from_numpy(found.astype(np.int64 if found.dtype == np.uint16 else np.float32))

    def best(self, share: float) -> Tensor:
        """The targets whose sources are among the share of them with the highest scores: bool (n,)."""
        order = np.argsort(-self.scores, kind="stable")
        found = torch.zeros(len(self), dtype=torch.bool)
        found[torch.from_numpy(order[: round(share * len(self))].copy())] = True
        return found


def arrays(header: Header, kind: type[np.generic]) -> dict[str, npy.Layout]:
    """The arrays of a split: sources (n, c, rows, columns) of a kind, and scores (n,)."""
    return {
        "sources": npy.Layout(kind, (header.pairs, *header.shape)),
        "scores": npy.Layout(np.float64, (header.pairs,)),
    }
