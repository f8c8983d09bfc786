"""Examples of what a direction makes: a grid of source → generated → real, spectrogram plots, files to hear."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import librosa.display
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cycle_sound import audio, files, images, vocoder
from cycle_sound.params import Audio, Modality

matplotlib.use("Agg")


class Row(NamedTuple):
    """One row of the grid."""

    name: str
    modality: Modality
    pictures: Tensor  # (n, c, h, w) in [-1, 1]


def draw(axes: Axes, picture: np.ndarray, modality: Modality) -> None:
    """Show one picture (c, h, w) in [-1, 1]; a log-mel with low mels at the bottom."""
    if modality == "image":
        axes.imshow((picture.transpose(1, 2, 0) + 1) / 2)
    else:
        axes.imshow(picture[0], origin="lower", cmap="magma", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically, without a note of the program that made it."""
    with files.replacing(path) as part:
        figure.savefig(part, format="png", dpi=100, metadata={"Software": None})


def grid(path: Path, rows: Sequence[Row], titles: Sequence[str]) -> None:
    """Rows of pictures under one another, a column per pair."""
    figure = Figure(figsize=(1.25 * len(titles) + 0.6, 1.3 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        line[0].set_ylabel(row.name)
        for place, picture in zip(line, row.pictures.numpy(), strict=True):
            draw(place, picture, row.modality)
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title, fontsize=9)
    save(figure, path)


def spectrogram(path: Path, log_mel: np.ndarray, config: Audio) -> None:
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
    save(figure, path)


def sample(folder: Path, picture: Tensor, modality: Modality, config: Audio) -> None:
    """Write a generated sample: FOLDER/generated.png, and for a sound generated.wav beside its spectrogram."""
    path = folder / "generated.png"
    if modality == "audio":
        spectrogram(path, picture.numpy(), config)
        wave = vocoder.waveforms(picture[None], config)[0].numpy()
        audio.write_wav(path.with_suffix(".wav"), wave, config.sample_rate)
        return
    with files.replacing(path) as part:
        images.to_picture(picture.numpy()).save(part, format="PNG")


def originals(folder: Path, raw: Path, clip: str, source: Modality) -> None:
    """Copy a test clip's own files beside its sample: FOLDER/source.* and FOLDER/real.*."""
    for modality, extension in (("image", ".jpg"), ("audio", ".mp3")):
        name = "source" if modality == source else "real"
        files.write_bytes(folder / f"{name}{extension}", (raw / f"{clip}{extension}").read_bytes())
