"""What the page has to try: sources of test pairs, named by what they are, each with the real target it belongs to."""

from pathlib import Path
from typing import NamedTuple

from cycle_sound.evaluation import samples
from cycle_sound.params import Direction


class Example(NamedTuple):
    """A source of the page, and what is known of it."""

    name: str  # its label; its id where it has none
    source: Path
    real: Path | None  # its own target, where it is there


def examples(folder: Path, direction: Direction) -> list[Example]:
    """Those that the evaluate stage has left in FOLDER/DIRECTION/ID/, by name.

    Raises `BadSamples` where a file beside them holds no samples.
    """
    labels = _labels(folder / direction / samples.NAME)
    found = []
    for source in sorted((folder / direction).glob("*/source.*")):
        clip = source.parent.name
        real = next(iter(sorted(source.parent.glob("real.*"))), None)
        found.append(Example(labels.get(clip) or clip, source, real))
    return sorted(found)


def _labels(path: Path) -> dict[str, str]:
    """The label of each clip of the samples in a file; none where it is missing."""
    if not path.is_file():
        return {}
    known = samples.described(path)
    return dict(zip(known.ids, known.labels, strict=True))
