"""Sound on the clock of its file: which of its frames follow one another without a gap."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from math import inf
from typing import Any

from cycle_sound.media import sound_files
from cycle_sound.media.sound_files import Stretch

JUMP = 0.05  # s between the time that sound has and the one that it should have; less is rounded, and no ear minds


def runs(frames: Iterable[Any]) -> Iterator[Iterator[Stretch]]:
    """FFmpeg's decoded frames as runs of one rate without a gap, each in stretches, to be used up before the next one.

    Laid end to end from the time of its first on, all of a run is where its own time says, to within JUMP: small gaps,
    or a wrong rate, add up to a new run. Raises `BadSound` as `sound_files.stretches` does.
    """
    return (sound_files.stretches(run) for _, run in groupby(frames, _run_number()))


def _run_number() -> Callable[[Any], int]:
    """A function that tells of frames of sound, one after another, in which run they are."""
    number, rate, end = 0, 0, -inf

    def of(frame: Any) -> int:
        nonlocal number, rate, end
        time = end if frame.time is None else frame.time
        if frame.sample_rate != rate or abs(time - end) > JUMP:
            number, end = number + 1, time
        # Not from the frame's own time: that is how gaps add up.
        rate, end = frame.sample_rate, end + frame.samples / frame.sample_rate
        return number

    return of
