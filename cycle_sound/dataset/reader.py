"""WebDataset shards of aligned pairs, read: readable by plain `webdataset`, and here at random by row.

`tars` says what a clip's members are. Tars are not compressed, so a member is a slice of the file: columns beside the
tars say where it lies, and `Split` reads any of them, in any order, without unpacking or listing a tar.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cycle_sound import paths
from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset import columns, npy
from cycle_sound.dataset.sequences import Lazy
from cycle_sound.errors import BadShard, MissingModality, UserError
from cycle_sound.media import jpeg, pixels
from cycle_sound.params import LONE, AudioConfig, Config, Modality, Side, SplitName, fault

DTYPES = {"image": np.uint8, "audio": np.float16}
OPEN = 32  # tars of a split that are open at a time: a corpus has thousands, a process 256 to 1,024 files


class Index(Config):
    """What index.json says of all shards."""

    digest: str
    audio: AudioConfig  # how sounds became log-mels
    jpeg_size: Side | None  # of pictures that are JPEG files, in pixels; None: they are arrays
    labels: list[str]  # "": none
    attributes: list[str]
    files: dict[str, str]  # tars and columns: file name → SHA-256


def read_index(folder: Path) -> Index:
    """The content of index.json. Raises FileNotFoundError, or `BadShard` for another file."""
    path = folder / paths.INDEX.name
    content = path.read_bytes()
    try:
        return Index.model_validate_json(content)
    except ValueError as error:
        raise BadShard(path=path, reason=fault(error)) from None


class Split:
    """The clips of one split, at random by row number. Nothing is in memory but what is asked for."""

    def __init__(self, folder: Path, split: SplitName) -> None:
        """Open the columns of a split. Raises `BadShard` for files that are none, FileNotFoundError.

        `ids`, `labels` ("": none), `attributes` (by name, where a clip has them) and `originals` (the files that clips
        were made of; of a clip without partner the name is none of theirs) are read when they are asked for, and raise
        `BadShard` then.
        """
        self._folder, self._split, self._index = folder, split, read_index(folder)
        try:
            self._columns = columns.mapped(folder, split, len(self._index.attributes))
        except ValueError as error:
            raise BadShard(path=folder, reason=fault(error)) from None
        count = len(self._columns.shard)
        self.ids: Sequence[str] = Lazy(count, self._id)
        self.labels: Sequence[str] = Lazy(count, self._label)
        self.attributes: Sequence[dict[str, float]] = Lazy(count, self._attributes)
        self.originals: Sequence[Original] = Lazy(count, self._original)
        self._tar = lru_cache(OPEN)(partial(_content, folder, split, self._index))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files itself: pickled, the columns would be copies."""
        return Split, (self._folder, self._split)

    def __len__(self) -> int:
        return len(self.ids)

    def shards(self) -> dict[str, range]:
        """Which rows lie in which tar, by its name, in the order of the rows. Raises `BadShard`."""
        numbers = self._columns.shard.astype(np.int64)
        steps = np.diff(numbers, prepend=-1)
        if (steps < 0).any():
            raise BadShard(path=self._folder, reason="tars that do not follow one another")
        starts = np.flatnonzero(steps).tolist()
        names = [_name(self._split, numbers[start]) for start in starts]
        if unknown := set(names) - self._index.files.keys():
            raise BadShard(path=self._folder, reason=f"{min(unknown)} is not in the index")
        return dict(zip(names, map(range, starts, [*starts[1:], len(numbers)]), strict=True))

    def known_labels(self) -> set[str]:
        """The labels of all clips, "" among them where one has none. Raises `BadShard`."""
        return {self._named(number) for number in np.unique(self._columns.label)}

    def labelled(self, labels: Collection[str]) -> np.ndarray:
        """The rows whose label is one of these, in their order: int64 (n,)."""
        wanted = [number for number, label in enumerate(self._index.labels) if label in labels]
        return np.flatnonzero(np.isin(self._columns.label, wanted))

    def digests(self, modality: Modality) -> np.ndarray:
        """SHA-256 of the files that pictures, or sounds, were made of: uint8 (n, 32); 0: there is none."""
        return self._columns.image_sha256 if modality == "image" else self._columns.audio_sha256

    def shape(self, modality: Modality) -> tuple[int, int, int]:
        """(channels, rows, columns) of a modality's pictures. Raises what `pictures` raises."""
        channels, rows, columns = self.pictures(modality, [0]).shape[1:]
        return channels, rows, columns

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        """Pictures of the given rows, at least one: float32 (b, c, h, w) in [-1, 1].

        Raises `BadShard`, and `MissingModality` where a clip has none.
        """
        try:
            batch = np.stack([self._picture(modality, row) for row in rows])
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise BadShard(path=self._folder, reason=fault(error)) from None
        pictures = torch.from_numpy(batch)
        return pixels.to_float(pictures) if modality == "image" else pictures.float()

    def _picture(self, modality: Modality, row: int) -> np.ndarray:
        """A copy of a member's array, so that its tar may be closed. Raises ValueError, `MissingModality`."""
        start, size = getattr(self._columns, modality)[row].tolist()
        if size == 0:
            raise MissingModality(clip=self.ids[row], modality=modality)
        content = self._tar(int(self._columns.shard[row]))
        if not 0 <= start <= start + size <= len(content):
            raise ValueError(f"a member of {size} bytes from {start} on in {len(content)}")
        member = content[start : start + size]
        if modality == "image" and self._index.jpeg_size:
            return jpeg.decode(member.tobytes(), self._index.jpeg_size)
        picture = npy.viewed(member)
        if picture.dtype != DTYPES[modality] or picture.ndim != 3:
            raise ValueError(f"arrays of {picture.dtype} {picture.shape}")
        return picture.copy()

    def _id(self, row: int) -> str:
        ends, ids = self._columns.id_ends, self._columns.ids
        start, end = int(ends[row - 1]) if row else 0, int(ends[row])
        try:
            if not 0 <= start <= end <= len(ids):
                raise ValueError(f"an id from {start} to {end} of {len(ids)}")
            return ids[start:end].tobytes().decode()
        except ValueError as error:
            raise BadShard(path=self._folder, reason=error) from None

    def _label(self, row: int) -> str:
        return self._named(self._columns.label[row])

    def _named(self, label: int) -> str:
        if label >= len(self._index.labels):
            raise BadShard(path=self._folder, reason=f"label {label} of {len(self._index.labels)}")
        return self._index.labels[label]

    def _attributes(self, row: int) -> dict[str, float]:
        values = zip(self._index.attributes, self._columns.attributes[row].tolist(), strict=True)
        return {name: value for name, value in values if not math.isnan(value)}

    def _original(self, row: int) -> Original:
        digests = self.digests("image"), self.digests("audio")
        picture, sound = (some[row].tobytes().hex() if some[row].any() else "" for some in digests)
        return Original("test" if self._split == "test" else "train", self.ids[row], picture, sound)


def learned(folder: Path, modality: Modality) -> list[SplitName]:
    """The splits that hold all there is to learn a modality from: train, and what has no partners, where there is any.

    Raises FileNotFoundError, or `BadShard` for another index.
    """
    is_there = columns.file_name(LONE[modality], "shard") in read_index(folder).files
    return ["train", LONE[modality]] if is_there else ["train"]


def lone(folder: Path, modality: Modality) -> Split | None:
    """The clips of a modality without partners, beside the pairs of train; None where there are none.

    Raises what `Split` raises.
    """
    return Split(folder, LONE[modality]) if LONE[modality] in learned(folder, modality) else None


def _name(split: SplitName, number: int) -> str:
    return f"{split}-{number:06d}.tar"


def _content(folder: Path, split: SplitName, index: Index, number: int) -> np.ndarray:
    """The bytes of a tar, mapped: uint8 (n,). Raises ValueError for one that the index does not know."""
    name = _name(split, number)
    if name not in index.files:
        raise ValueError(f"{name} is not in the index")
    return np.asarray(np.memmap(folder / name, dtype=np.uint8, mode="r"))
