"""The toy orchestra: a corpus made from the seed, in which everything that sound and picture share is known.

Kind is kind; pitch is hue (low red, high violet); loudness is size; strokes are things. All else varies freely.
"""

import math
from functools import partial

import numpy as np

from cycle_sound.acquisition.sources.clip import Clip, Pair
from cycle_sound.acquisition.sources.drawing import SHAPES, Scene, draw
from cycle_sound.acquisition.sources.synthesis import Score, play
from cycle_sound.media import picture_files, sound_files
from cycle_sound.params import DataConfig, SourceSplit

KINDS = tuple(SHAPES)
LOWEST, OCTAVES = 220.0, 2.0  # Hz; pitches are uniform on a log scale
SOFTEST = -24.0  # dB
SMALLEST, LARGEST = 0.85, 1.25  # times the usual diameter
HIGHEST_HUE = 270.0  # degrees: violet, well short of red again
STROKES = (1, 2, 3)  # of a clip, equally likely
QUALITY = 92  # of the JPEG


def scene_of(score: Score) -> Scene:
    """The picture that belongs to a sound: the one place where the two are tied."""
    hue = HIGHEST_HUE * math.log2(score.pitch / LOWEST) / OCTAVES
    size = LARGEST + (SMALLEST - LARGEST) * score.loudness / SOFTEST
    return Scene(score.kind, hue, size, score.strokes)


def compose(kind: str, rng: np.random.Generator) -> Score:
    """A random score for a kind."""
    pitch = LOWEST * 2 ** rng.uniform(0, OCTAVES)
    return Score(kind, float(pitch), float(rng.uniform(SOFTEST, 0)), int(rng.choice(STROKES)))


def perform(score: Score, seconds: float, sample_rate: int, seed: tuple[int, ...]) -> Pair:
    """Draw and play a score, and encode both."""
    drawing, playing = (np.random.default_rng((*seed, part)) for part in (1, 2))
    picture = picture_files.encode_jpeg(draw(scene_of(score), drawing), QUALITY)
    waveform = play(score, seconds, sample_rate, playing).astype(np.float32)
    return Pair(picture, sound_files.encode_mp3(waveform, sample_rate))


def clips(data: DataConfig, sample_rate: int, seed: int) -> list[Clip]:
    """The corpus. Each clip depends on the seed, its split and its number only, not on how many there are."""
    counts: dict[SourceSplit, int] = {"train": data.synthetic.train_pairs, "test": data.synthetic.test_pairs}
    corpus = []
    for split_number, (split, count) in enumerate(counts.items()):
        for index in range(count):
            own = (seed, split_number, index)
            score = compose(KINDS[index % len(KINDS)], np.random.default_rng(own))
            fetch = partial(perform, score, data.clip_seconds, sample_rate, own)
            name = f"{split}_{index:05d}"
            shared = {"pitch": score.pitch, "loudness": score.loudness, "strokes": float(score.strokes)}
            corpus.append(Clip(name, split, score.kind, name, fetch, shared))
    return corpus
