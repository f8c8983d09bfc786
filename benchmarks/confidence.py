"""What the confidence in one draw costs: how much longer a picture or a sound takes with it than without.

python -m benchmarks.confidence [--models data] [--json]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import printing
from cycle_sound import CycleSound
from cycle_sound.errors import NoConfidence
from cycle_sound.inference.system import Thing
from cycle_sound.media.sounds import Sound

PAIRS = 15  # of draws, one without and one with confidence, after one of each that warms up


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ratio(make: Callable[[], Thing], confidence: Callable[[Thing], float | None]) -> tuple[float, float]:
    """The median seconds of a draw, and the median ratio of one with confidence to the one before it without."""
    pairs = [(seconds(make), seconds(lambda: confidence(make()))) for _ in range(1 + PAIRS)][1:]
    return statistics.median(one for one, _ in pairs), statistics.median(both / one for one, both in pairs)


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("data"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    system = CycleSound.load(given.models)
    if not system.knows_confidence:
        raise NoConfidence(folder=given.models)
    rng = np.random.default_rng(0)
    sound = Sound(rng.uniform(-0.5, 0.5, round(system.seconds * system.sample_rate)), system.sample_rate)
    picture = Image.fromarray(rng.integers(0, 256, (system.size, system.size, 3), np.uint8))
    seen, seen_slower = ratio(lambda: system.image(*sound), lambda made: system.confidence(sound, made))
    heard, heard_slower = ratio(lambda: system.sound(picture), lambda made: system.confidence(picture, made))
    figures = {
        "milliseconds_per_picture": 1000 * seen,
        "ratio_with_confidence_per_picture": seen_slower,
        "milliseconds_per_sound": 1000 * heard,
        "ratio_with_confidence_per_sound": heard_slower,
    }
    printing.show(figures, given.json)


if __name__ == "__main__":
    main()
