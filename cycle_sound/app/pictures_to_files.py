"""From pictures to files: sounds with their spectrograms, and all of them joined."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from cycle_sound.app.outputs import beside, written
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.fixed_batches import TOGETHER, batched
from cycle_sound.media import mel, sound_files, sound_reader, sound_writer
from cycle_sound.media.sounds import Format, Sound, encoded, joined
from cycle_sound.media.spectrogram import spectrogram
from cycle_sound.params import AudioConfig

PLOTTED = 60.0  # s, of a longer sound


def hear(
    make: Callable[[Sequence[Image.Image]], list[Sound]],
    pictures: Iterable[tuple[Path, Image.Image]],
    stem: Callable[[str], Path],
    kind: Format,
    config: AudioConfig,
    accepts: Callable[[Path, Sequence[Image.Image], Sequence[Sound]], bool],
) -> Iterator[Path]:
    """Write the sound that `make` generates from each picture and its spectrogram; yield the paths written.

    `stem` gives a path without ending for a picture's name. Of several pictures their sounds are also written as one,
    `stem("joined")`, up to `sound_files.MAX_SECONDS`. A sound that is not accepted is left out.
    """
    heard: list[Sound] = []
    for batch in batched(pictures):
        for (path, picture), sound in zip(batch, make([picture for _, picture in batch]), strict=True):
            if not accepts(path, [picture], [sound]):
                continue
            yield from write(sound, stem(path.stem), kind, config)
            if (len(heard) + 1) * sound.seconds <= sound_files.MAX_SECONDS:
                heard.append(sound)
    if len(heard) > 1:
        yield from write(joined(heard), stem("joined"), kind, config)


def hear_long(
    make: Callable[[Image.Image], Iterable[Sound]],
    picture: Image.Image,
    stem: Path,
    kind: Format,
    models: Models,
    accepts: Callable[[Sequence[Image.Image], Sequence[Sound]], bool],
) -> list[Path]:
    """Write a picture's sound of any length that `make` generates, and a spectrogram of its first minute.

    Returns the paths written; no more of it than a minute is in memory. It is left out where its first clips are not
    accepted, once all is made.
    """
    sound, clips = stem.with_name(f"{stem.name}.{kind}"), list[Sound]()

    def write_whole(part: Path) -> None:
        sound_writer.write(part, make(picture), kind)
        clips.extend(islice(sound_reader.windows(sound_reader.blocks(part), models.seconds), TOGETHER))

    if not written(sound, write_whole, lambda: accepts([picture] * len(clips), clips)):
        return []
    plot = stem.with_name(f"{stem.name}.png")
    begin = next(sound_reader.windows(sound_reader.blocks(sound), PLOTTED))
    spectrogram(plot, mel.log_mel(sound_files.resample(*begin, models.audio.sample_rate), models.audio), models.audio)
    return [sound, plot]


def write(sound: Sound, stem: Path, kind: Format, config: AudioConfig) -> list[Path]:
    """Write a sound, STEM.KIND, and its spectrogram, STEM.png; return both paths."""
    plot = stem.with_name(f"{stem.name}.png")
    spectrogram(plot, mel.log_mel(sound.waveform, config), config)
    return [beside(stem, f".{kind}", encoded(sound, kind)), plot]
