"""Examples of what a direction makes: a contact sheet of source → generated → real, and files to see and hear."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cycle_sound.evaluation.scores import DirectionModels, Generated
from cycle_sound.io import files
from cycle_sound.media import mel, picture_files
from cycle_sound.media.sounds import Sound, encoded
from cycle_sound.media.spectrogram import save, spectrogram
from cycle_sound.params import Modality


def draw(axes: Axes, picture: np.ndarray, modality: Modality) -> None:
    """Show one picture (c, h, w) in [-1, 1]; a log-mel with low mels at the bottom."""
    if modality == "image":
        axes.imshow((picture.transpose(1, 2, 0) + 1) / 2)
    else:
        axes.imshow(picture[0], origin="lower", cmap="magma", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])


def contact_sheet(path: Path, models: DirectionModels, generated: Generated, shown: Sequence[int]) -> None:
    """Source, generated and real target under one another, a column per pair, with its label."""
    source, target = models.source, models.target
    rows = {
        "source": (source.modality, source.pictures),
        "generated": (target.modality, generated.first),
        "real": (target.modality, target.pictures),
    }
    figure = Figure(figsize=(1.25 * len(shown) + 0.6, 1.3 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for (name, (modality, pictures)), line in zip(rows.items(), axes, strict=True):
        line[0].set_ylabel(name)
        for place, row in zip(line, shown, strict=True):
            draw(place, pictures[row].numpy(), modality)
    for place, row in zip(axes[0], shown, strict=True):
        place.set_title(models.labels[row], fontsize=9)
    save(figure, path)


def sample(folder: Path, models: DirectionModels, generated: Generated, row: int) -> None:
    """Write what was generated of one pair: FOLDER/generated.png, and for a sound generated.wav beside its spectrogram.

    The files hold what the command line makes of the pair's source by the seed that the evaluation has.
    """
    path = folder / "generated.png"
    if models.target.modality == "audio":
        audio = models.engine.models.audio
        wave = generated.waveforms[row]
        spectrogram(path, mel.log_mel(wave, audio), audio)
        files.write_bytes(path.with_suffix(".wav"), encoded(Sound(wave, audio.sample_rate), "wav"))
    else:
        files.write_bytes(path, picture_files.encode_png(picture_files.to_picture(generated.first[row].numpy())))


def originals(folder: Path, picture: bytes, sound: bytes, source: Modality) -> None:
    """Write a test clip's own files beside its sample: FOLDER/source.* and FOLDER/real.*."""
    for modality, extension, content in (("image", ".jpg", picture), ("audio", ".mp3", sound)):
        name = "source" if modality == source else "real"
        files.write_bytes(folder / f"{name}{extension}", content)
