"""Search: rank pictures for a sound, or sounds for a picture, by their scores."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cycle_sound.inference.fixed_batches import batched
from cycle_sound.inference.system import CycleSound, Thing
from cycle_sound.media import images
from cycle_sound.media.blocks import windows
from cycle_sound.media.sounds import Sound


class Hit(NamedTuple):
    """A candidate with its score."""

    score: float  # nats
    path: Path


def ranked(system: CycleSound, query: Thing, candidates: Iterable[tuple[Path, Thing]]) -> list[Hit]:
    """Score candidates of the other modality, (path, content) each, and sort them, the best first.

    The score is that of `CycleSound.scores` for query and candidate; of a sound longer than a clip, that of the window
    that fits best. Pictures are RGB. One candidate is in memory at a time, and of others what the models see of them, a
    batch of windows.
    """
    asked, best = [*seen(system, query)], dict[Path, float]()
    pairs = ((path, source, target) for path, one in candidates for target in seen(system, one) for source in asked)
    for batch in batched(pairs):
        scores = system.scores([source for _, source, _ in batch], [target for _, _, target in batch])
        for (path, _, _), score in zip(batch, scores, strict=True):
            best[path] = max(score, best.get(path, score))
    return sorted((Hit(score, path) for path, score in best.items()), key=lambda hit: (-hit.score, hit.path))


def seen(system: CycleSound, thing: Thing) -> Iterator[Thing]:
    """The windows of a sound, or a picture at the models' size: copies, which do not keep the whole in memory."""
    if isinstance(thing, Sound):
        for wave, rate in windows([thing], system.seconds):
            yield Sound(wave.copy(), rate)
    else:
        yield images.to_square(thing, system.size)
