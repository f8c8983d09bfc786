"""A log-mel as a plot with axes, in Hz, seconds and dB."""

import io
from pathlib import Path

import librosa.display
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cycle_sound.io import files
from cycle_sound.params import AudioConfig

matplotlib.use("Agg")
matplotlib.rcParams["text.parse_math"] = False  # a name or a label may hold dollar signs


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    files.write_bytes(path, encoded(figure))


def encoded(figure: Figure) -> bytes:
    """A figure as PNG, without a note of the program that made it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def spectrogram(path: Path, log_mel: np.ndarray, config: AudioConfig) -> None:
    """Write the plot of one log-mel (1, mels, frames) in [-1, 1] as PNG, atomically."""
    save(plotted(log_mel, config), path)


def plotted(log_mel: np.ndarray, config: AudioConfig) -> Figure:
    """Plot one log-mel (1, mels, frames) in [-1, 1] with its axes in Hz and seconds and its levels in dB."""
    decibel = (log_mel[0] + 1) / 2 * (config.max_db - config.min_db) + config.min_db
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    mesh = librosa.display.specshow(
        decibel,
        x_axis="time",
        y_axis="mel",
        sr=config.sample_rate,
        hop_length=config.hop_length,
        fmin=config.fmin,
        fmax=config.sample_rate / 2,
        ax=axes,
        cmap="magma",
    )
    figure.colorbar(mesh, ax=axes, format="%+.0f dB")
    return figure
