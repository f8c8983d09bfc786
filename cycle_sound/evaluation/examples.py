"""Examples of what a direction makes: a contact sheet of source → generated → real, and files to see and hear.

Of all that is generated the pictures and sounds of a few pairs alone are held.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cycle_sound.evaluation.generation import DirectionModels, Generated, Pairs
from cycle_sound.evaluation.samples import SHOWS, Samples
from cycle_sound.io import files
from cycle_sound.media import mel, picture_files, sound_writer
from cycle_sound.media.sounds import Sound
from cycle_sound.media.spectrogram import save, spectrogram
from cycle_sound.nn.measures import Measures
from cycle_sound.params import AudioConfig, Modality


class Examples(NamedTuple):
    """What was made of some pairs of a split."""

    rows: Sequence[int]  # of the split, rising
    samples: Samples
    waveforms: np.ndarray  # (n, samples) of what was generated; of pictures (n, 0)

    def first(self, count: int) -> "Examples":
        """At most `count` of them."""
        return Examples(self.rows[:count], self.samples.first(count), self.waveforms[:count])


def hold(rows: range, wanted: Collection[int], pairs: Pairs, generated: Generated) -> Measures:
    """Keep what `examples` needs of those pairs, `rows` of the split, that are wanted."""
    places = [row - rows.start for row in rows if row in wanted]
    held = {
        "source": pairs.source,
        "generated": generated.kept,
        "returned": generated.returned,
        "real": pairs.target,
        "tokenized": generated.tokenized,
        "information": generated.kept_scores,
    }
    return {**{show: of[places].numpy() for show, of in held.items()}, "waveform": generated.waveforms[places]}


def examples(models: DirectionModels, wanted: Collection[int], held: Measures) -> Examples:
    """The examples of all wanted pairs that the split has, from what `hold` kept."""
    split = models.split
    rows = sorted(row for row in wanted if row < len(split.labels))
    samples = Samples(
        models.direction,
        **{show: torch.from_numpy(held[show]) for show in SHOWS},
        pointwise_mutual_information=torch.from_numpy(held["information"]),
        ids=[split.ids[row] for row in rows],
        labels=[split.labels[row] for row in rows],
    )
    return Examples(rows, samples, held["waveform"])


def draw(axes: Axes, picture: np.ndarray, modality: Modality) -> None:
    """Show one picture (c, h, w) in [-1, 1]; a log-mel with low mels at the bottom."""
    if modality == "image":
        axes.imshow((picture.transpose(1, 2, 0) + 1) / 2)
    else:
        axes.imshow(picture[0], origin="lower", cmap="magma", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])


def contact_sheet(path: Path, samples: Samples, places: Sequence[int]) -> None:
    """Source, generated and real target under one another, a column per sample, with its label."""
    shows = ("source", "generated", "real")
    figure = Figure(figsize=(1.25 * len(places) + 0.6, 1.3 * len(shows) + 0.3), layout="constrained")
    axes = figure.subplots(len(shows), len(places), squeeze=False)
    for show, line in zip(shows, axes, strict=True):
        line[0].set_ylabel(show)
        for axis, place in zip(line, places, strict=True):
            draw(axis, getattr(samples, show)[place].numpy(), samples.modality(show))
    for axis, place in zip(axes[0], places, strict=True):
        axis.set_title(samples.labels[place], fontsize=9)
    save(figure, path)


def sample(folder: Path, shown: Examples, place: int, audio: AudioConfig) -> None:
    """Write what was generated of one pair: FOLDER/generated.png, and for a sound generated.wav beside its spectrogram.

    The files hold what the command line makes of the pair's source by the seed that the evaluation has. Where
    shards hold pictures as JPEGs (`shard.jpeg_quality`), what is made of a picture's file differs a little.
    """
    path = folder / "generated.png"
    if shown.samples.modality("generated") == "audio":
        wave = shown.waveforms[place]
        spectrogram(path, mel.log_mel(wave, audio), audio)
        files.write_bytes(path.with_suffix(".wav"), sound_writer.encoded(Sound(wave, audio.sample_rate), "wav"))
    else:
        picture = picture_files.to_picture(shown.samples.generated[place].numpy())
        files.write_bytes(path, picture_files.encode_png(picture))


def originals(folder: Path, picture: bytes, sound: bytes, source: Modality) -> None:
    """Write a test clip's own files beside its sample: FOLDER/source.* and FOLDER/real.*."""
    for modality, extension, content in (("image", ".jpg", picture), ("audio", ".mp3", sound)):
        name = "source" if modality == source else "real"
        files.write_bytes(folder / f"{name}{extension}", content)
