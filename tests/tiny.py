"""Small projects and models, as benchmarks.untrained makes them, and what only tests need beside them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.untrained import ORIGINAL, ROOT, committed, sharded, tree, untrained, write, write_shards

__all__ = ["ORIGINAL", "ROOT", "committed", "sharded", "tree", "untrained", "write", "write_shards"]


def write_cache(folder: Path, split: str, header: Any, layouts: Mapping[str, Any], **arrays: np.ndarray) -> None:
    """Make a split of a cache of whole arrays, as if all lay in one shard."""
    from cycle_sound.dataset import caching

    shards = {"one": range(header.pairs)}
    whole = caching.CachedSplit(split, header, layouts, shards, lambda rows: [arrays])
    caching.make(folder, folder / "work", [whole], "", {"one": ""})


def small_network(name: str) -> Any:
    """Stands for a classifier of torchvision up to its pooling."""
    from torch import nn

    from cycle_sound.errors import UnknownNetwork

    if name != "resnet18":
        raise UnknownNetwork(name=name)
    return nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU())


@contextmanager
def small_networks() -> Iterator[None]:
    """Torchvision's one classifier is a small network meanwhile, of the name resnet18."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cycle_sound.models.features._torchvision", small_network)
        yield
