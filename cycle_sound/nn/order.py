"""Which pairs a training step sees: a pure function of places and a seed, as cheap for ten million pairs as for ten.

Each epoch is a permutation by a generalised Feistel network, a cipher whose messages are the numbers below any count
(Black and Rogaway 2002, "Ciphers with arbitrary finite domains"): a number is a place in a rectangle that holds hardly
more than all rows; each round adds to one coordinate a keyed hash of the other; what comes out beyond the last row is
enciphered again ("cycle walking").
"""

from math import isqrt

import numpy as np
import torch
from torch import Tensor

ROUNDS = 12  # even; with 8 not all orders of five rows are equally frequent
GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ / the golden ratio


def rows(places: range, count: int, seed: int) -> Tensor:
    """The rows at some places of shuffled epochs that lie one behind the other: int64 (len(places),).

    Each row in 0 … count - 1 comes once an epoch. A step that sees b pairs takes the places step × b and following.
    """
    epochs, ordered = np.divmod(np.arange(places.start, places.stop, dtype=np.uint64), np.uint64(count))
    keys = _mixed(_mixed(np.full_like(epochs, seed)) + epochs)
    shuffled = _enciphered(ordered, keys, count)
    while len(beyond := np.flatnonzero(shuffled >= count)):
        shuffled[beyond] = _enciphered(shuffled[beyond], keys[beyond], count)
    return torch.from_numpy(shuffled.astype(np.int64))


def _enciphered(numbers: np.ndarray, keys: np.ndarray, count: int) -> np.ndarray:
    """Encipher places in a rectangle that holds at least `count`, by a permutation for each key.

    uint64 (n,), (n,) → (n,).
    """
    height = isqrt(count - 1) + 1
    width = -(-count // height)
    right, left = np.divmod(numbers, np.uint64(height))
    for side in (np.uint64(height), np.uint64(width)) * (ROUNDS // 2):
        keys = keys + np.uint64(GOLDEN)
        left, right = right, (left + _mixed(keys ^ right) % side) % side
    return right * np.uint64(height) + left


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """The SplitMix64 hash of each number (Steele et al. 2014): uint64 (n,) → uint64 (n,)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
