"""Sources for targets without partners, drawn by the direction back (Sennrich et al. 2016, arXiv:1511.06709).

Of several candidates the one is kept that makes its target likeliest, by the direction that is to learn from it.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cycle_sound.dataset import caching, drawn_cache
from cycle_sound.dataset.caching import CachedSplit
from cycle_sound.dataset.drawn_cache import DrawnCache, Header
from cycle_sound.dataset.encoding import Encoded
from cycle_sound.dataset.reader import Split
from cycle_sound.inference.engine import Drawing, Engine, best
from cycle_sound.inference.fixed_batches import size_for
from cycle_sound.media import pixels
from cycle_sound.nn import distributed
from cycle_sound.params import LONE, Direction, opposite_of, target_of


def draw(
    folder: Path,
    engine: Engine,
    direction: Direction,
    targets: Split,
    drawing: Drawing,
    identity: str,
    shards: Mapping[str, str],
) -> DrawnCache:
    """A source for each of a direction's targets without partners, in a folder; one that is there for it is kept.

    Processes share the shards, whose digests by name are `shards`; those finished by an earlier run are kept.
    `identity`: of all that the sources depend on beside the shards.
    """
    name, model = LONE[target_of(direction)], engine.models.transformers[direction]
    if not (folder / f"{name}.json").is_file():  # which is written last
        header = Header(identity, model.source_shape, len(targets))
        arrays = drawn_cache.arrays(header, _kind(engine, direction))
        encode = partial(sources, engine, direction, targets, drawing)
        split = CachedSplit(name, header, arrays, targets.shards(), encode)
        caching.make(folder, folder.with_name(f"{folder.name}_drawing"), [split], identity, shards)
    distributed.barrier()
    return DrawnCache(folder, name, identity)


def sources(engine: Engine, direction: Direction, targets: Split, drawing: Drawing, rows: range) -> Iterator[Encoded]:
    """Of rows of targets `sources` as the direction's transformer reads them, and `scores` in nats, few at a time.

    (b, c, rows, columns) and float64 (b,). A score is the pointwise mutual information of source and target, by the
    direction itself.
    """
    back, size = opposite_of(direction), size_for(engine.models.device)
    for start in range(0, len(rows), size):
        pictures = targets.pictures(target_of(direction), rows[start : start + size])
        drawn, scores = engine.candidates(back, pictures, drawing)
        read, kind = engine.source_inputs(direction, best(drawn, scores)), _kind(engine, direction)
        stored = (pixels.to_bytes(read) if kind is np.uint8 else read).numpy().astype(kind)
        yield {"sources": stored, "scores": scores.amax(1).double().numpy()}


def _kind(engine: Engine, direction: Direction) -> type[np.generic]:
    """The type of number in which what a direction's transformer reads of sources is stored."""
    condition = engine.models.transformers[direction].config.condition
    if condition == "tokens":
        return np.uint16
    return np.uint8 if condition == "encoder" and direction == "image_to_audio" else np.float16
