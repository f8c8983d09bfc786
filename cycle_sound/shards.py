"""WebDataset shards of aligned pairs: deterministic tars, readable by plain `webdataset`, and at random by index.

A pair is three members: KEY.image.npy (uint8, (3, h, w)), KEY.audio.npy (float16 log-mel, (1, mels, frames)) and
KEY.json (id, label, group, attributes). Tars are not compressed, so a member is a slice of the file: `Split` maps the
tars into memory and reads any pair, in any order, without unpacking.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from cycle_sound import files, images
from cycle_sound.params import MODALITIES, Modality

if TYPE_CHECKING:
    from torch import Tensor

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
INDEX = "index.json"


class Sample(NamedTuple):
    """One pair, ready for a shard."""

    image: np.ndarray  # uint8 (3, h, w)
    audio: np.ndarray  # float16 (1, mels, frames) in [-1, 1]
    facts: Mapping[str, Any]  # id, label, group, attributes


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """Write one tar atomically; the same samples give the same bytes."""
    with files.replacing(path) as part, tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
        for sample in samples:
            key = _key(sample.facts["id"])
            _add(tar, f"{key}.image.npy", _npy(sample.image))
            _add(tar, f"{key}.audio.npy", _npy(sample.audio))
            _add(tar, f"{key}.json", json.dumps(sample.facts, sort_keys=True).encode())


def write_index(folder: Path, digests: Mapping[str, str], audio: Mapping[str, Any]) -> None:
    """Write index.json: the shards' `digests` by name, that of all, and how sounds became log-mels (the parameters)."""
    digests = dict(sorted(digests.items()))
    whole = hashlib.sha256(json.dumps([digests, audio], sort_keys=True).encode()).hexdigest()
    files.write_json(folder / INDEX, {"digest": whole, "audio": audio, "shards": digests})


def read_index(folder: Path) -> dict[str, Any]:
    """The content of index.json."""
    index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return index


class Split:
    """The pairs of one split, at random by row number. Nothing is read into memory but their facts."""

    def __init__(self, folder: Path, split: SplitName) -> None:
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.attributes: list[dict[str, float]] = []
        self._arrays: dict[Modality, list[np.ndarray]] = {modality: [] for modality in MODALITIES}
        for path in sorted(folder.glob(f"{split}-*.tar")):
            self._open(path)

    def _open(self, path: Path) -> None:
        content = np.memmap(path, dtype=np.uint8, mode="r")
        with tarfile.open(path) as tar:
            for member in tar:
                inside = content[member.offset_data : member.offset_data + member.size]
                extension = member.name.split(".", 1)[1]
                if extension == "json":
                    facts = json.loads(inside.tobytes())
                    self.ids.append(facts["id"])
                    self.labels.append(facts["label"])
                    self.attributes.append(facts["attributes"])
                else:
                    self._arrays["image" if extension == "image.npy" else "audio"].append(inside)

    def __len__(self) -> int:
        return len(self.ids)

    def shape(self, modality: Modality) -> tuple[int, int, int]:
        """(channels, rows, columns) of a modality's pictures."""
        channels, rows, columns = self.pictures(modality, [0]).shape[1:]
        return channels, rows, columns

    def pictures(self, modality: Modality, rows: Iterable[int]) -> "Tensor":
        """Pictures of the given rows: float32 (b, c, h, w) in [-1, 1]."""
        import torch  # of those who write shards, no worker has to load it

        arrays = [np.load(io.BytesIO(self._arrays[modality][row].tobytes()), allow_pickle=False) for row in rows]
        batch = torch.from_numpy(np.stack(arrays))
        return images.to_float(batch) if modality == "image" else batch.float()


def _key(clip: str) -> str:
    # WebDataset takes everything up to the first dot as the key
    return clip.replace("%", "%25").replace(".", "%2E")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # mtime, owner and mode are TarInfo's constants
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
