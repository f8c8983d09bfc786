"""The moments of a video that become pairs: its middle, evenly spaced ones, or listed frames."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cycle_sound.acquisition.sources import lists
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource
from cycle_sound.params import Pairs


class Frame(NamedTuple):
    """A frame, counted from 0 at the start of the clip."""

    number: int


Moment = float | Frame  # a share of the video, 0 its start and 1 its end; or a frame


def of_all(pairs: Pairs, count: int) -> list[Moment]:
    """The moments of any video: its middle, or the middles of `count` parts of equal length."""
    count = 1 if pairs == "middle" else count
    return [(i + 0.5) / count for i in range(count)]


def listed(path: Path) -> dict[Excerpt, list[Moment]]:
    """The frames listed for each excerpt, in a JSON `[..., {"YTID_startms_endms": [frame, ...]}]`, each frame once.

    Raises `BadSource` for a missing file, for one of another form or too large, and for one that contradicts itself.
    """
    chosen: dict[Excerpt, list[Moment]] = {}
    for entry in _parsed(path):
        for name, numbers in entry if isinstance(entry, tuple) else [(str(entry), [])]:
            excerpt = lists.recognised(name)
            if excerpt is None or not _are_frames(numbers):
                raise BadSource(f"{path}: needs YTID_startms_endms and its frame numbers, not {name[:60]}")
            frames: list[Moment] = [Frame(number) for number in dict.fromkeys(numbers)]
            lists.add(chosen, excerpt, frames, f"{path}: {name}")
    return chosen


def _parsed(path: Path) -> list[Any]:
    lists.check(path)
    try:
        # Pairs, not dictionaries, which would keep the last of two entries without a word.
        tree = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=tuple)
    except FileNotFoundError:
        raise BadSource(f"data.vggsound.moments: no such file: {path}") from None
    except (ValueError, RecursionError) as error:
        raise BadSource(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, list):
        raise BadSource(f"{path}: needs a list of clips, each with its frame numbers")
    return tree


def _are_frames(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)
