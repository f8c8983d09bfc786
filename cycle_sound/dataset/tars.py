"""WebDataset shards of aligned pairs, written: deterministic tars.

A pair is three members: KEY.image.npy (uint8, (3, h, w)) or KEY.image.jpg, KEY.audio.npy (float16 log-mel, (1, mels,
frames)) and KEY.json (id, label, group, attributes). A picture or a sound without the other is two: it, and KEY.json
(id, label). Tars are not compressed, so a member is a slice of the file.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cycle_sound.io import files, tar_members
from cycle_sound.media import jpeg

JPEG = "image.jpg"
ABSENT = (0, 0)  # place and bytes of a member that a clip lacks
LARGEST_WRITE = 1 << 20  # bytes of a member at once: tarfile's 16 kB took a quarter of a shard's writing


class Sample(NamedTuple):
    """One clip, ready for a shard."""

    image: np.ndarray | None  # uint8 (3, h, w)
    audio: np.ndarray | None  # float16 (1, mels, frames) in [-1, 1]
    facts: Mapping[str, Any]  # id and label; of a pair group and attributes, too


def write_shard(path: Path, samples: Iterable[Sample], jpeg_quality: int = 0) -> None:
    """Write one tar atomically; the same samples give the same bytes. `jpeg_quality`: of pictures; 0: their pixels."""
    settings: dict[str, Any] = {"format": tarfile.GNU_FORMAT, "copybufsize": LARGEST_WRITE}
    with files.replacing(path) as part, tarfile.open(part, "w", **settings) as tar:
        for sample in samples:
            key = _key(sample.facts["id"])
            if sample.image is not None and jpeg_quality:
                _add(tar, f"{key}.{JPEG}", jpeg.encode(sample.image, jpeg_quality))
            elif sample.image is not None:
                _add(tar, f"{key}.image.npy", _npy(sample.image))
            if sample.audio is not None:
                _add(tar, f"{key}.audio.npy", _npy(sample.audio))
            _add(tar, f"{key}.json", json.dumps(sample.facts, sort_keys=True).encode())


def members(path: Path) -> np.ndarray:
    """Where the pictures and the log-mels of a tar lie: int64 (clips, 2, 2), start and size of each; 0: there is none.

    Raises `BadTar`.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    with path.open("rb") as file:
        for name, start, size in tar_members.listed(file, path.stat().st_size):
            key, _, extension = name.partition(".")
            found.setdefault(key, {})[extension] = start, size
    places = [[one.get("image.npy", one.get(JPEG, ABSENT)), one.get("audio.npy", ABSENT)] for one in found.values()]
    return np.array(places, np.int64).reshape(-1, 2, 2)


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
