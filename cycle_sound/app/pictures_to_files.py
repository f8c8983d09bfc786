"""From pictures to files: sounds with their spectrograms, and all of them joined."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from PIL import Image

from cycle_sound.app.outputs import Result, content
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.fixed_batches import TOGETHER, batched
from cycle_sound.inference.soundtrack import Make
from cycle_sound.media import images, mel, sound_files, sound_reader, sound_writer, spectrogram
from cycle_sound.media.blocks import windows
from cycle_sound.media.sound_writer import Format
from cycle_sound.media.sounds import Sound, joined
from cycle_sound.params import AudioConfig

PLOTTED = 60.0  # s, of a longer sound


def write_sounds(
    make: Make,
    pictures: Iterable[tuple[Path, Image.Image]],
    result: Callable[[str], Result],
    kind: Format,
    models: Models,
    accepts: Callable[[Path, Sequence[Image.Image], Sequence[Sound]], bool],
    show: Callable[[list[Path]], None],
) -> None:
    """Write the sound that `make` generates from each picture and its spectrogram; `show` the paths as they come.

    `result` takes a picture's name. Of several pictures their sounds are also written as one, `result("joined")`, with
    a spectrogram of its first minute, while they are made: of all, only a batch is in memory, of pictures as the models
    see them. A sound that is not accepted is left out.
    """
    seen = ((path, images.to_square(picture, models.size)) for path, picture in pictures)

    def written() -> Iterator[Sound]:
        for batch in batched(seen):
            for (path, picture), sound in zip(batch, make([picture for _, picture in batch]), strict=True):
                if accepts(path, [picture], [sound]):
                    show(write_sound(sound, result(path.stem), kind, models.audio))
                    yield sound

    sounds = written()
    begin = list(islice(sounds, 2))
    if len(begin) > 1:
        show(_write_blocks(joined(chain(begin, sounds)), result("joined"), kind, models.audio, lambda _: True))


def write_long_sound(
    blocks: Iterable[Sound],
    picture: Image.Image,
    result: Result,
    kind: Format,
    models: Models,
    accepts: Callable[[Sequence[Image.Image], Sequence[Sound]], bool],
) -> list[Path]:
    """Write the sound of a picture, of any length, given in blocks, and a spectrogram of its first minute.

    Returns the paths written; at most a minute of it is in memory. If its first clips, once all is made, are not
    accepted, it is left out.
    """

    def accepted(part: Path) -> bool:
        clips = [*islice(windows(sound_reader.blocks(part), models.seconds), TOGETHER)]
        return accepts([picture] * len(clips), clips)

    return _write_blocks(blocks, result, kind, models.audio, accepted)


def write_sound(sound: Sound, result: Result, kind: Format, config: AudioConfig) -> list[Path]:
    """Write a sound and its spectrogram, .png; return both paths."""
    heard, seen = sound_writer.encoded(sound, kind), _plot(sound, config)
    return result.write({f".{kind}": content(heard), ".png": content(seen)})


def _write_blocks(
    blocks: Iterable[Sound], result: Result, kind: Format, config: AudioConfig, accepts: Callable[[Path], bool]
) -> list[Path]:
    """Write a sound of any length and a spectrogram of its first minute, if its file is accepted; return the paths."""
    whole: list[Path] = []

    def write(part: Path) -> None:
        sound_writer.write(part, blocks, kind)
        whole.append(part)

    def plot(part: Path) -> None:
        part.write_bytes(_plot(next(windows(sound_reader.blocks(whole[0]), PLOTTED)), config))

    return result.write({f".{kind}": write, ".png": plot}, lambda: accepts(whole[0]))


def _plot(sound: Sound, config: AudioConfig) -> bytes:
    """The spectrogram of a sound of any rate as PNG."""
    log_mel = mel.log_mel(sound_files.resample(*sound, config.sample_rate), config)
    return spectrogram.encoded(spectrogram.plotted(log_mel, config))
