"""WebDataset shards of aligned pairs, read: readable by plain `webdataset`, and here at random by row.

A pair is three members: KEY.image.npy (uint8, (3, h, w)), KEY.audio.npy (float16 log-mel, (1, mels, frames)) and
KEY.json (id, label, group, attributes). Tars are not compressed, so a member is a slice of the file: `Split` maps the
tars into memory and reads any pair, in any order, without unpacking.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cycle_sound import paths
from cycle_sound.media import pixels
from cycle_sound.params import MODALITIES, Modality, SplitName


def read_index(folder: Path) -> dict[str, Any]:
    """The content of index.json."""
    index: dict[str, Any] = json.loads((folder / paths.INDEX.name).read_text(encoding="utf-8"))
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

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        """Pictures of the given rows: float32 (b, c, h, w) in [-1, 1]."""
        arrays = [np.load(io.BytesIO(self._arrays[modality][row].tobytes()), allow_pickle=False) for row in rows]
        batch = torch.from_numpy(np.stack(arrays))
        return pixels.to_float(batch) if modality == "image" else batch.float()
