"""What lets tars be read at random, written once all of them are there: the columns of each split, and index.json."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cycle_sound import paths
from cycle_sound.acquisition.manifest import Row
from cycle_sound.dataset import columns
from cycle_sound.dataset.columns import Columns
from cycle_sound.io import files
from cycle_sound.params import SplitName

NONE = "0" * 64  # in place of the digest of a file that a clip does not have


class Contents(NamedTuple):
    """What the tars of a split hold, one after another."""

    rows: Sequence[Row]
    members: Sequence[np.ndarray]  # of each tar what `tars.members` says


def write(
    folder: Path,
    splits: Mapping[SplitName, Contents],
    digests: Mapping[str, str],
    audio: Mapping[str, Any],
    jpeg_size: int | None = None,
) -> None:
    """Write the columns of the splits, then index.json, which names the tars' `digests` and theirs.

    `audio`: how sounds became log-mels, the parameters; `jpeg_size`: of pictures that are JPEG files, in pixels; None:
    they are arrays.
    """
    rows = [row for contents in splits.values() for row in contents.rows]
    labels = sorted({row.label for row in rows})
    attributes = sorted({name for row in rows for name in row.attributes})
    names = dict(digests)
    for split, contents in splits.items():
        names |= columns.write(folder, split, described(contents, labels, attributes))
    facts = {
        "audio": audio,
        "jpeg_size": jpeg_size,
        "labels": labels,
        "attributes": attributes,
        "files": dict(sorted(names.items())),
    }
    whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    files.write_json(folder / paths.INDEX.name, {"digest": whole, **facts})


def described(contents: Contents, labels: Sequence[str], attributes: Sequence[str]) -> Columns:
    """The columns of a split, which call labels and attributes by their places in these."""
    rows, members = contents
    places, numbers = np.concatenate(members), {label: number for number, label in enumerate(labels)}
    ids = [row.id.encode() for row in rows]
    values = [row.attributes.get(name, np.nan) for row in rows for name in attributes]
    return Columns(
        shard=np.repeat(np.arange(len(members)), [len(some) for some in members]),
        image=places[:, 0],
        audio=places[:, 1],
        image_sha256=_digests(row.picture_sha256 for row in rows),
        audio_sha256=_digests(row.sound_sha256 for row in rows),
        ids=np.frombuffer(b"".join(ids), np.uint8),
        id_ends=np.cumsum([len(one) for one in ids]),
        label=np.array([numbers[row.label] for row in rows]),
        attributes=np.array(values, float).reshape(len(rows), len(attributes)),
    )


def _digests(sha256: Iterable[str]) -> np.ndarray:
    """Digests in hex as bytes, 0 where there is none: uint8 (n, 32)."""
    return np.frombuffer(bytes.fromhex("".join(one or NONE for one in sha256)), np.uint8).reshape(-1, 32)
