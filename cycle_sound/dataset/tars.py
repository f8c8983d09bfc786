"""WebDataset shards of aligned pairs, written: deterministic tars, and an index of them.

A pair is three members: KEY.image.npy (uint8, (3, h, w)), KEY.audio.npy (float16 log-mel, (1, mels, frames)) and
KEY.json (id, label, group, attributes). Tars are not compressed, so a member is a slice of the file.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cycle_sound import paths
from cycle_sound.io import files


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
    files.write_json(folder / paths.INDEX.name, {"digest": whole, "audio": audio, "shards": digests})


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
