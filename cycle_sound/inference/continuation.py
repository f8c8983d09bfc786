"""A sound of any length from one picture: each window of tokens continues the one before.

A window begins with the last columns of the window before, so nothing has to be joined: the tokens form one long grid,
which the VAE's convolutions decode to one long log-mel. Of an hour, only one stretch is in memory at a time.
"""

from collections.abc import Callable, Iterator
from math import ceil
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound.errors import BadDraw
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.engine import Drawing, Engine
from cycle_sound.io.progress import track
from cycle_sound.media.blocks import cut
from cycle_sound.media.crossfade import crossfaded
from cycle_sound.media.sound_reader import MAX_SECONDS

CARRIED = 1 / 2  # of a window's columns, from which the next one goes on
# Of a window's columns, at its end: clips fade there, and frames at seams would differ by 2.9 dB instead of 1.3.
LEFT_OUT = 1 / 8
STRETCH = 20  # windows of tokens, at most, that become one waveform: 31 s of the default's


class Layout(NamedTuple):
    """The grid of a sound's tokens, in columns along time, and the stretches of it that become waveforms."""

    carried: slice  # of a window: what the next one begins with
    windows: int
    stretch: int  # columns of a stretch
    shared: int  # of them, with the next stretch
    stretches: int


def layout(seconds: float, models: Models) -> Layout:
    """The grid of a sound of so many seconds. Raises `BadDraw` for less than a sample, or more than MAX_SECONDS."""
    if not (isinstance(seconds, Real) and 1 / models.audio.sample_rate <= seconds <= MAX_SECONDS):
        raise BadDraw(f"a sound cannot be {seconds!r:.50} s long: it lasts from one sample to {MAX_SECONDS:.0f} s")
    window = models.tokenizers["audio"].codes.columns
    end = window - int(LEFT_OUT * window)
    carried = slice(end - int(CARRIED * window), end)
    wanted, most = max(1, ceil(seconds / models.seconds * window)), STRETCH * window
    stretches = max(1, ceil((wanted - window) / (most - window)))
    stretch = ceil((wanted + (stretches - 1) * window) / stretches)
    shared = min(window, stretch // 2)
    columns = stretches * stretch - (stretches - 1) * shared
    return Layout(carried, 1 + max(0, ceil((columns - end) / carried.start)), stretch, shared, stretches)


def waveform(
    engine: Engine,
    picture: Tensor,
    drawing: Drawing,
    seconds: float,
    progress: str,
    callback: Callable[[], object] | None,
) -> Iterator[np.ndarray]:
    """The sound of a picture (1, c, h, w), so many seconds long, in blocks (samples,).

    Its first tokens are those that a sound of one window has. `progress` is the name under which its progress is
    printed on stderr, where it is more than one stretch; "" prints none. `callback` is called before each window is
    drawn, and what it raises ends the work. Raises `BadDraw` as `layout` does, at once.
    """
    models = engine.models
    laid = layout(seconds, models)
    windows = engine.windows("image_to_audio", picture, drawing, laid.carried)
    drawn = _called(windows, callback) if callback else windows
    shown = track(drawn, laid.windows, progress) if progress and laid.stretches > 1 else drawn
    log_mels = (engine.decode_long("audio", codes) for codes in _stretches(shown, laid))
    waves = (engine.waveforms(log_mel)[0] for log_mel in log_mels)
    samples = models.seconds * models.audio.sample_rate / models.tokenizers["audio"].codes.columns  # of a column
    blocks = crossfaded(waves, round(laid.shared * samples))
    yield from cut(blocks, round(seconds * models.audio.sample_rate))


def _called(windows: Iterator[Tensor], callback: Callable[[], object]) -> Iterator[Tensor]:
    """Windows without end, with a call before each is drawn."""
    while True:
        callback()
        yield next(windows)


def _stretches(windows: Iterator[Tensor], laid: Layout) -> Iterator[Tensor]:
    """The grid of windows of codes (1, k, rows, columns) in stretches, each with the end of the one before."""
    grid = next(windows)[..., : laid.carried.stop]
    for _ in range(laid.stretches):
        while grid.shape[-1] < laid.stretch:
            grid = torch.cat([grid, next(windows)[..., laid.carried.stop - laid.carried.start : laid.carried.stop]], -1)
        yield grid[..., : laid.stretch]
        grid = grid[..., laid.stretch - laid.shared :]
