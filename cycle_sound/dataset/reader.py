"""WebDataset shards of aligned pairs, read: readable by plain `webdataset`, and here at random by row.

A pair is three members: KEY.image.npy (uint8, (3, h, w)), KEY.audio.npy (float16 log-mel, (1, mels, frames)) and
KEY.json (id, label, group, attributes). Tars are not compressed, so a member is a slice of the file: `Split` maps the
tars into memory and reads any pair, in any order, without unpacking.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cycle_sound import paths
from cycle_sound.dataset import npy
from cycle_sound.errors import BadShard, BadTar
from cycle_sound.io import tar_members
from cycle_sound.media import pixels
from cycle_sound.params import MODALITIES, AudioConfig, Config, Modality, SplitName, fault

DTYPES = {"image": np.uint8, "audio": np.float16}
MAX_FACTS = 1 << 16  # bytes of a pair's JSON, which is read into memory


class Facts(Config):
    """What a shard says of a pair."""

    id: str
    label: str  # "": none
    group: str
    attributes: dict[str, int | float]


class Index(Config):
    """What index.json says of all shards."""

    digest: str
    audio: AudioConfig  # how sounds became log-mels
    shards: dict[str, str]  # file name → SHA-256


def read_index(folder: Path) -> Index:
    """The content of index.json. Raises FileNotFoundError, or `BadShard` for another file."""
    path = folder / paths.INDEX.name
    content = path.read_bytes()
    try:
        return Index.model_validate_json(content)
    except ValueError as error:
        raise BadShard(path=path, reason=fault(error)) from None


class Split:
    """The pairs of one split, at random by row number. Nothing is read into memory but their facts."""

    def __init__(self, folder: Path, split: SplitName) -> None:
        """Open the shards of a split. Raises `BadShard` for a file that is none."""
        self._folder, self._split = folder, split
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.attributes: list[dict[str, float]] = []
        self._arrays: dict[Modality, list[np.ndarray]] = {modality: [] for modality in MODALITIES}
        for path in sorted(folder.glob(f"{split}-*.tar")):
            self._open(path)

    def _open(self, path: Path) -> None:
        found: dict[str, dict[str, np.ndarray]] = {}  # the members of each pair, by what follows its key
        try:
            content = np.memmap(path, dtype=np.uint8, mode="r")
            with path.open("rb") as file:
                for name, start, size in tar_members.listed(file, len(content)):
                    key, _, extension = name.partition(".")
                    found.setdefault(key, {})[extension] = content[start : start + size]
            for members in found.values():
                self._add(members)
        except (BadTar, ValueError) as error:
            raise BadShard(path=path, reason=fault(error)) from None

    def _add(self, members: Mapping[str, np.ndarray]) -> None:
        if members.keys() != {"image.npy", "audio.npy", "json"} or len(members["json"]) > MAX_FACTS:
            raise ValueError(f"a pair of {', '.join(sorted(members))}")
        facts = Facts.model_validate_json(members["json"].tobytes())
        self.ids.append(facts.id)
        self.labels.append(facts.label)
        self.attributes.append(facts.attributes)
        for modality in MODALITIES:
            self._arrays[modality].append(members[f"{modality}.npy"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, what is mapped would be copied."""
        return Split, (self._folder, self._split)

    def __len__(self) -> int:
        return len(self.ids)

    def shape(self, modality: Modality) -> tuple[int, int, int]:
        """(channels, rows, columns) of a modality's pictures."""
        channels, rows, columns = self.pictures(modality, [0]).shape[1:]
        return channels, rows, columns

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        """Pictures of the given rows, at least one: float32 (b, c, h, w) in [-1, 1]. Raises `BadShard`."""
        try:
            batch = np.stack([npy.viewed(self._arrays[modality][row]) for row in rows])
            if batch.dtype != DTYPES[modality] or batch.ndim != 4:
                raise ValueError(f"arrays of {batch.dtype} {batch.shape[1:]}")
        except ValueError as error:
            raise BadShard(path=self._folder, reason=fault(error)) from None
        pictures = torch.from_numpy(batch)
        return pixels.to_float(pictures) if modality == "image" else pictures.float()
