"""Search: rank pictures for a sound, or sounds for a picture, by how much likelier each makes the query."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from cycle_sound.inference.fixed_batches import batched
from cycle_sound.inference.system import CycleSound, Thing
from cycle_sound.media.blocks import windows
from cycle_sound.media.sounds import Sound


class Hit(NamedTuple):
    """A candidate with its score."""

    score: float  # nats
    path: Path


def ranked(system: CycleSound, query: Thing, candidates: Iterable[tuple[Path, Thing]]) -> list[Hit]:
    """Score candidates of the other modality, (path, content) each, and sort them, the best first.

    The score is that of `CycleSound.scores` for query and candidate; for a long sound, that of its best window.
    """
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
    return [*windows([thing], system.seconds)] if isinstance(thing, Sound) else [thing]
