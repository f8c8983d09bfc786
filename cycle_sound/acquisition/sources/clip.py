"""Clips: every data source lists them; each is fetched as a pair, as a picture or a sound alone, or rejected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cycle_sound.params import DataConfig, SourceSplit

Status = Literal[
    "ok",
    "unavailable",
    "no_audio",
    "no_video",
    "corrupt",
    "silent",
    "still",
    "too_short",
    "unpaired",
    "duplicate",
]


class Pair(NamedTuple):
    """One picture and its sound, as the contents of files; one of them is None where the other is alone."""

    picture: bytes | None  # JPEG
    sound: bytes | None  # MP3


class Rejected(Exception):
    """Raised for a clip that cannot be learned from; the manifest gets its `status`, and its `reason` in words."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(status, reason)  # both in `args`, so that it survives a process boundary
        self.status: Status = status
        self.reason = reason


@dataclass(frozen=True)
class Clip:
    """A requested clip. `fetch` makes the pair, or raises `Rejected`; it runs in another process.

    A picture or a sound alone comes only where `may_be_lone` allows it.

    Where there is a `load`, `fetch` is given what it returns. It runs in the process that asks for the clips, in their
    order, once for all that follow one another with the same `load` (they are cut of one film), and raises nothing.
    """

    id: str  # file name of the pair, without extension: unique within the corpus
    split: SourceSplit
    label: str  # "" where the source has none
    group: str  # clips of one group (one recording, one video) never stand on two sides of a split
    fetch: Callable[..., Pair]
    attributes: Mapping[str, float] = field(default_factory=dict)  # shared by sound and picture, where known
    files: Sequence[Path] = ()  # that it is made of
    size: int = 0  # bytes that are read for it, at most
    load: Callable[[], Any] | None = None


def may_be_lone(split: SourceSplit, data: DataConfig) -> bool:
    """Whether a clip of a split may be a picture or a sound alone: what is tested has both."""
    return data.unpaired == "keep" and split == "train"
