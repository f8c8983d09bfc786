"""From pictures to files: sounds with their spectrograms, and all of them joined."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from cycle_sound import audio, examples
from cycle_sound.generation import batched
from cycle_sound.outputs import beside
from cycle_sound.params import Audio
from cycle_sound.sounds import Format, Sound, encoded, joined


def hear(
    make: Callable[[Sequence[Image.Image]], list[Sound]],
    pictures: Iterable[tuple[Path, Image.Image]],
    stem: Callable[[str], Path],
    kind: Format,
    config: Audio,
) -> Iterator[Path]:
    """Write the sound of each picture, `stem(NAME)`.wav or another format, and its spectrogram, .png; yield the paths.

    Of several pictures also one longer sound, `stem("joined")`, as far as MAX_SECONDS.
    """
    heard: list[Sound] = []
    for batch in batched(pictures):
        for (path, _), sound in zip(batch, make([picture for _, picture in batch]), strict=True):
            yield from write(sound, stem(path.stem), kind, config)
            if (len(heard) + 1) * sound.seconds <= audio.MAX_SECONDS:
                heard.append(sound)
    if len(heard) > 1:
        yield from write(joined(heard), stem("joined"), kind, config)


def write(sound: Sound, stem: Path, kind: Format, config: Audio) -> list[Path]:
    """Write a sound and its spectrogram."""
    plot = stem.with_name(f"{stem.name}.png")
    examples.spectrogram(plot, audio.log_mel(sound.waveform, config), config)
    return [beside(stem, f".{kind}", encoded(sound, kind)), plot]
