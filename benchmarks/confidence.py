"""What the confidence in one draw costs, and what it is for sources unlike the training data.

python -m benchmarks.confidence [--models data] [--unlike FOLDER] [--json]

How much longer a picture or a sound takes with it than without. FOLDER/test_data holds pictures and sounds that the
models cannot know; silence and white noise are tried without it, too.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import printing
from cycle_sound import CycleSound
from cycle_sound.app import knowledge
from cycle_sound.errors import NoConfidence
from cycle_sound.inference.system import Thing
from cycle_sound.media import images, sound_files
from cycle_sound.media.sounds import Sound

SOURCES = 50  # of each modality
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


def unlike(system: CycleSound, folder: Path | None) -> dict[str, float]:
    """The confidence in what is made of sources unlike the training data, and the fraction a warning is given of."""
    rng, count = np.random.default_rng(0), round(system.seconds * system.sample_rate)
    size = system.size, system.size, 3
    heard = {
        "silence": [Sound(np.zeros(count), system.sample_rate)],
        "noise_sounds": [Sound(rng.normal(0, level, count), system.sample_rate) for level in (0.1, 0.01, 0.001)],
    }
    seen = {"noise_pictures": [Image.fromarray(rng.integers(0, 256, size, np.uint8)) for _ in range(3)]}
    if folder is not None:
        heard["sounds"] = [Sound(*sound_files.decode(path.read_bytes())) for path in some(folder, "mp3")]
        seen["pictures"] = [images.open_picture(path.read_bytes(), system.size) for path in some(folder, "jpg")]
    made: dict[str, tuple[Sequence[Thing], Sequence[Thing]]] = {
        kind: (sounds, system.images(sounds)) for kind, sounds in heard.items()
    }
    made |= {kind: (pictures, system.sounds(pictures)) for kind, pictures in seen.items()}
    figures: dict[str, float] = {}
    for kind, (sources, targets) in made.items():
        figures[f"confidence_in_{kind}"] = statistics.median(system.confidences(sources, targets) or [])
        warned = [one < knowledge.FAMILIAR for one in system.familiarities(sources) or []]
        figures[f"warned_of_{kind}"] = statistics.mean(warned)
    return figures


def some(folder: Path, ending: str) -> list[Path]:
    """Up to SOURCES files of a folder's test data."""
    found = sorted((folder / "test_data").glob(f"*.{ending}"))
    return found[:: max(1, len(found) // SOURCES)][:SOURCES]


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("data"))
    parser.add_argument("--unlike", type=Path, help="a folder of pairs unlike the training data")
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
    printing.show(figures | unlike(system, given.unlike), given.json)


if __name__ == "__main__":
    main()
