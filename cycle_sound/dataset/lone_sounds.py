"""The files of sounds without partners, which shards know by their SHA-256 alone: the manifest says where they lie."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition import manifest
from cycle_sound.acquisition.originals import Original
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sequences import Lazy
from cycle_sound.errors import BadShard


def originals(lone: Split, folder: Path) -> Sequence[Original]:
    """The sound of each row of `lone_audio`, in a folder of clips; of equal ones any.

    Raises `BadShard` for a sound that the folder's manifest does not name, `BadManifest`, FileNotFoundError.
    """
    digests = lone.digests("audio")
    wanted, ids = {digest.tobytes(): row for row, digest in enumerate(digests)}, [""] * len(lone)
    for row in manifest.each(folder / paths.MANIFEST.name):
        place = wanted.get(bytes.fromhex(row.sound_sha256)) if row.split == "train" else None
        if place is not None:
            ids[place] = row.id
    if not all(ids):
        raise BadShard(path=paths.SHARDS, reason=f"{folder / paths.MANIFEST.name} does not name all of its sounds")
    return Lazy(len(ids), partial(_original, ids, digests))


def _original(ids: Sequence[str], digests: np.ndarray, row: int) -> Original:
    return Original("train", ids[row], "", digests[row].tobytes().hex())
