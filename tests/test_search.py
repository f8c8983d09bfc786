"""A search counts the window that fits best, and holds one candidate at a time, however many and long they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cycle_sound.app import search
from cycle_sound.inference.fixed_batches import TOGETHER
from cycle_sound.inference.system import CycleSound, Thing
from cycle_sound.media.sounds import Sound

RATE = 16000  # Hz


class Stub:
    """Stands for the models: a sound scores by its first sample, and each call is noted with the bytes it holds."""

    seconds, size = 1.0, 64

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def scores(self, sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float]:
        waves = [thing.waveform for thing in (*sources, *targets) if isinstance(thing, Sound)]
        buffers = {id(base): base for wave in waves for base in [wave if wave.base is None else wave.base]}
        self.calls.append((len(sources), sum(buffer.nbytes for buffer in buffers.values())))
        pairs = zip(sources, targets, strict=True)
        return [float(next(one for one in pair if isinstance(one, Sound)).waveform[0]) for pair in pairs]


def steps(*levels: float) -> Sound:
    """A sound of one level a second."""
    return Sound(np.repeat(np.float32(levels), RATE), RATE)


def picture(side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), "red")


@pytest.fixture
def system() -> Any:
    return Stub()


def test_of_a_longer_sound_the_window_that_fits_best_counts(system: Any) -> None:
    heard = {Path("a.wav"): steps(1, 2, 7), Path("b.wav"): steps(9, 1), Path("c.wav"): steps(3)}
    assert search.ranked(system, picture(), heard.items()) == [
        (9, Path("b.wav")),
        (7, Path("a.wav")),
        (3, Path("c.wav")),
    ]
    assert search.ranked(system, steps(0, 5, 1), [(Path("a.png"), picture())]) == [(5, Path("a.png"))]


def test_no_more_is_scored_at_once_than_a_batch_and_no_more_read_than_is_scored(system: Any) -> None:
    read: list[int] = []

    def candidates() -> Iterator[tuple[Path, Thing]]:
        for number in range(7):
            read.append(len(system.calls))
            yield Path(f"{number}.png"), picture()

    assert len(search.ranked(system, steps(*range(30)), candidates())) == 7
    assert [count for count, _ in system.calls] == [TOGETHER] * 3 + [7 * 30 - 3 * TOGETHER]
    assert read == [0, 0, 0, 1, 1, 2, 2]  # each once the pairs of those before are scored, or fill no batch


def test_no_recording_is_held_by_its_windows(system: Any) -> None:
    many = [(Path(f"{number}.wav"), steps(*range(40))) for number in range(5)]
    search.ranked(system, picture(), many)
    assert max(size for _, size in system.calls) < TOGETHER * 2 * RATE * 4  # bytes of windows of a second


def test_a_large_picture_is_held_as_the_models_see_it(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: set[tuple[int, int]] = set()

    def scores(sources: Sequence[Thing], targets: Sequence[Thing]) -> list[float]:
        sizes.update(thing.size for thing in targets if isinstance(thing, Image.Image))
        return [0.0] * len(sources)

    monkeypatch.setattr(system, "scores", scores)
    search.ranked(system, steps(1), [(Path("large.png"), picture(1000))])
    assert sizes == {(64, 64)}


def test_the_scores_are_those_of_the_whole_files(data: Path) -> None:
    real, rng = CycleSound.load(data, "cpu"), np.random.default_rng(0)
    heard = Sound(rng.normal(0, 0.1, RATE).astype(np.float32), RATE)
    seen = Image.fromarray(rng.integers(0, 256, (90, 150, 3), np.uint8))
    assert search.ranked(real, heard, [(Path("x.png"), seen)]) == [(real.score(heard, seen), Path("x.png"))]
