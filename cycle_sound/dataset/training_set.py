"""All that a model of one modality learns from: the pairs of train, and what there is of the modality alone."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import reader
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sequences import Joined
from cycle_sound.params import Modality


class TrainingSet:
    """The clips to learn a modality from, read as a `Split` is: the rows of train, then those without partners."""

    def __init__(self, folder: Path, modality: Modality) -> None:
        """Open the splits. Raises what `Split` raises."""
        self._folder, self._modality = folder, modality
        self._splits = [Split(folder, name) for name in reader.learned(folder, modality)]
        self.ids = Joined(*(split.ids for split in self._splits))
        self.labels = Joined(*(split.labels for split in self._splits))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, the columns would be copies."""
        return TrainingSet, (self._folder, self._modality)

    def __len__(self) -> int:
        return len(self.labels)

    def known_labels(self) -> set[str]:
        """The labels of all clips, "" among them where one has none. Raises `BadShard`."""
        return set[str]().union(*(split.known_labels() for split in self._splits))

    def labelled(self, labels: Collection[str]) -> np.ndarray:
        """The rows whose label is one of these, in their order: int64 (n,)."""
        starts = np.cumsum([0, *map(len, self._splits)])
        return np.concatenate([start + one.labelled(labels) for start, one in zip(starts, self._splits, strict=False)])

    def shape(self, modality: Modality) -> tuple[int, int, int]:
        """(channels, rows, columns) of the pictures. Raises what `pictures` raises."""
        return self._splits[0].shape(modality)

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        """Pictures of the given rows, at least one: float32 (b, c, h, w) in [-1, 1].

        Raises `BadShard`, and `MissingModality` for another modality of what has no partner.
        """
        places = [self.labels.place(row) for row in rows]
        by_split = [[row for part, row in places if part == number] for number in range(len(self._splits))]
        found = [split.pictures(modality, some) for split, some in zip(self._splits, by_split, strict=True) if some]
        order = sorted(range(len(places)), key=lambda place: places[place][0])  # in which they were found
        pictures = torch.cat(found)
        return pictures.index_copy(0, torch.tensor(order), pictures)
