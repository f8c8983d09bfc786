"""From pictures to files: sounds with their spectrograms, and all of them joined."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from cycle_sound.app.outputs import beside, written
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.fixed_batches import TOGETHER, batched
from cycle_sound.inference.soundtrack import Make
from cycle_sound.io.endings import with_ending
from cycle_sound.media import mel, sound_files, sound_reader, sound_writer
from cycle_sound.media.blocks import windows
from cycle_sound.media.sound_writer import Format
from cycle_sound.media.sounds import Sound, joined
from cycle_sound.media.spectrogram import spectrogram
from cycle_sound.params import AudioConfig

PLOTTED = 60.0  # s, of a longer sound


def write_sounds(
    make: Make,
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
            yield from write_sound(sound, stem(path.stem), kind, config)
            if (len(heard) + 1) * sound.seconds <= sound_files.MAX_SECONDS:
                heard.append(sound)
    if len(heard) > 1:
        yield from write_sound(joined(heard), stem("joined"), kind, config)


def write_long_sound(
    blocks: Iterable[Sound],
    picture: Image.Image,
    stem: Path,
    kind: Format,
    models: Models,
    accepts: Callable[[Sequence[Image.Image], Sequence[Sound]], bool],
) -> list[Path]:
    """Write the sound of a picture, of any length, given in blocks, and a spectrogram of its first minute.

    Returns the paths written; at most a minute of it is in memory. If its first clips, once all is made, are not
    accepted, it is left out.
    """
    path, clips = with_ending(stem, f".{kind}"), list[Sound]()

    def write_whole(part: Path) -> None:
        sound_writer.write(part, blocks, kind)
        clips.extend(islice(windows(sound_reader.blocks(part), models.seconds), TOGETHER))

    if not written(path, write_whole, lambda: accepts([picture] * len(clips), clips)):
        return []
    begin = next(windows(sound_reader.blocks(path), PLOTTED))
    return [path, plot(begin, stem, models.audio)]


def write_sound(sound: Sound, stem: Path, kind: Format, config: AudioConfig) -> list[Path]:
    """Write a sound, STEM.KIND, and its spectrogram, STEM.png; return both paths."""
    return [beside(stem, f".{kind}", sound_writer.encoded(sound, kind)), plot(sound, stem, config)]


def plot(sound: Sound, stem: Path, config: AudioConfig) -> Path:
    """Write the spectrogram of a sound of any rate, STEM.png; return its path."""
    path = with_ending(stem, ".png")
    spectrogram(path, mel.log_mel(sound_files.resample(*sound, config.sample_rate), config), config)
    return path
