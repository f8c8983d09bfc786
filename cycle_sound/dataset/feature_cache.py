"""The feature cache: what a frozen network makes of every clip, memory-mapped, tied to the network and the shards."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import headers, npy
from cycle_sound.errors import BadFeatures
from cycle_sound.models.features import FeatureShape
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import SplitName, fault


class Header(NamedTuple):
    """What a file of features must say of itself."""

    network: str  # SHA-256 of the network's file
    shards: str  # digest of the shards' index
    shape: FeatureShape
    pairs: int  # clips, in the order of the shards


class FeatureCache:
    """One split of one modality. View 0 is the clip as it is; the others are augmented copies."""

    def __init__(self, folder: Path, split: SplitName, network: str, shards: str) -> None:
        """Open a split. Raises `StaleCache` where the digests are not those in its header, `BadFeatures`."""
        try:
            self.header = headers.read(folder, split, Header)
            self._features = npy.mapped(folder / f"{split}.features.npy")  # (n, views, c, rows, columns) float16
            _check(self.header, self._features)
        except ValueError as error:
            raise BadFeatures(path=folder / f"{split}.json", reason=fault(error)) from None
        headers.check(folder, split, self.header, network=network, shards=shards)
        self._given = folder, split, network, shards

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, what is mapped would be copied."""
        return FeatureCache, self._given

    def __len__(self) -> int:
        return self.header.pairs

    @property
    def views(self) -> int:
        """Number of views of each clip."""
        return int(self._features.shape[1])

    def plain(self, rows: Tensor) -> Tensor:
        """Features of the clips as they are: (b,) → float32 (b, c, rows, columns)."""
        return torch.from_numpy(self._features[rows.numpy(), 0].astype(np.float32))

    def draw(self, rows: Tensor, rng: BatchRng) -> Tensor:
        """Features of any view of each clip: (b,) → float32 (b, c, rows, columns)."""
        views = rng.integers(self.views)
        return torch.from_numpy(self._features[rows.numpy(), views.numpy()].astype(np.float32))


def arrays(header: Header, views: int) -> dict[str, npy.Layout]:
    """The array of a split: features (n, views, c, rows, columns)."""
    return {"features": npy.Layout(np.float16, (header.pairs, views, *header.shape))}


def _check(header: Header, features: np.ndarray) -> None:
    """Raise ValueError where the array is not the one that a header tells of."""
    fits = features.ndim == 5 and (len(features), *features.shape[2:]) == (header.pairs, *header.shape)
    if not fits or not features.shape[1] or features.dtype != np.float16:
        raise ValueError(f"{features.dtype} {features.shape}")
