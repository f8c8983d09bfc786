"""The token cache: the tokens of every clip, memory-mapped, tied to the tokenizer and the shards they came from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import headers, npy
from cycle_sound.errors import BadTokens
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import SplitName, fault


class Header(NamedTuple):
    """What a token file must say of itself."""

    tokenizer: str  # SHA-256 of the tokenizer's file
    shards: str  # digest of the shards' index
    shape: CodeShape
    pairs: int  # clips, in the order of the shards


class TokenCache:
    """One split of one modality. View 0 is the clip as it is; the others are shifted copies."""

    def __init__(self, folder: Path, split: SplitName, tokenizer: str, shards: str) -> None:
        """Open a split. Raises `StaleCache` where the digests are not those in its header, `BadTokens`."""
        try:
            self.header = headers.read(folder, split, Header)
            self._codes = npy.mapped(folder / f"{split}.codes.npy")  # (n, views, k, t, top) uint16
            _check(self.header, self._codes)
            if self._codes.shape[-1] > 1:
                self._probabilities = npy.mapped(folder / f"{split}.probabilities.npy")  # of the codes, float16
                _check_probabilities(self._codes, self._probabilities)
        except ValueError as error:
            raise BadTokens(path=folder / f"{split}.json", reason=fault(error)) from None
        headers.check(folder, split, self.header, tokenizer=tokenizer, shards=shards)
        self._given = folder, split, tokenizer, shards

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, what is mapped would be copied."""
        return TokenCache, self._given

    def __len__(self) -> int:
        return self.header.pairs

    @property
    def views(self) -> int:
        """Number of views of each clip."""
        return int(self._codes.shape[1])

    def most_likely(self, rows: Tensor) -> Tensor:
        """Codes of the clips as they are: (b,) → (b, k, t) int64."""
        return torch.from_numpy(self._codes[rows.numpy(), 0, ..., 0].astype(np.int64))

    def draw(self, rows: Tensor, rng: BatchRng) -> Tensor:
        """Codes of any view of each clip, drawn from the kept probabilities: (b,) → (b, k, t) int64."""
        views = rng.integers(self.views)
        codes = torch.from_numpy(self._codes[rows.numpy(), views.numpy()].astype(np.int64))  # (b, k, t, top)
        if codes.shape[-1] == 1:
            return codes[..., 0]
        kept = torch.from_numpy(self._probabilities[rows.numpy(), views.numpy()].astype(np.float32)).cumsum(-1)
        passed = kept < rng.uniform(*codes.shape[1:3], 1) * kept[..., -1:]
        return codes.gather(-1, passed.sum(-1, keepdim=True).clamp(max=codes.shape[-1] - 1))[..., 0]


def arrays(header: Header, views: int, top: int) -> dict[str, npy.Layout]:
    """The arrays of a split: codes (n, views, k, t, top), the most likely first, with probabilities if several."""
    shape = (header.pairs, views, header.shape.codebooks, header.shape.places, top)
    probabilities = {"probabilities": npy.Layout(np.float16, shape)} if top > 1 else {}
    return {"codes": npy.Layout(np.uint16, shape), **probabilities}


def _check(header: Header, codes: np.ndarray) -> None:
    """Raise ValueError where the codes are not those that a header tells of."""
    wanted = (header.pairs, header.shape.codebooks, header.shape.places)
    fits = codes.ndim == 5 and (len(codes), *codes.shape[2:4]) == wanted
    if not fits or 0 in codes.shape or codes.dtype != np.uint16:
        raise ValueError(f"{codes.dtype} {codes.shape}")


def _check_probabilities(codes: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise ValueError where they are not of these codes."""
    if codes.shape != probabilities.shape or probabilities.dtype != np.float16:
        raise ValueError(f"{probabilities.dtype} {probabilities.shape} of {codes.shape}")
