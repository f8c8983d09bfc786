"""Ranking a folder of pictures for a sound, or of sounds for a picture, by how much likelier each makes the query."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from cycle_sound.generation import batched
from cycle_sound.sounds import Sound, windows
from cycle_sound.system import CycleSound, Thing


class Hit(NamedTuple):
    """A candidate and how well it explains the query."""

    score: float  # nats
    path: Path


def ranked(system: CycleSound, query: Thing, candidates: Iterable[tuple[Path, Thing]]) -> list[Hit]:
    """Candidates of the other modality, the best first. A long sound counts by its best window."""
    hits = []
    for batch in batched(candidates):
        pairs = [(path, *pair) for path, one in batch for pair in product(_parts(system, query), _parts(system, one))]
        scores = system.scores([source for _, source, _ in pairs], [target for _, _, target in pairs])
        best: dict[Path, float] = {}
        for (path, _, _), score in zip(pairs, scores, strict=True):
            best[path] = max(score, best.get(path, score))
        hits += [Hit(score, path) for path, score in best.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.path))


def _parts(system: CycleSound, thing: Thing) -> list[Thing]:
    return [*windows(thing, system.seconds)] if isinstance(thing, Sound) else [thing]
