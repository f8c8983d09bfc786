"""Sounds of any length read from their start to their end, a block at a time; of films, too. No file is trusted.

As `sound_files.decode` reads shorter ones: libsndfile decodes what it knows, FFmpeg the rest, and what is missing
where libsndfile ends early.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import soundfile

from cycle_sound.errors import BadSound
from cycle_sound.media import containers, sound_files, wav
from cycle_sound.media.sounds import Sound

MAX_SECONDS = 36_000.0  # ten hours: a small file may hold years of silence


def blocks(path: Path) -> Iterator[Sound]:
    """The sound of a file, of `sound_files.KINDS` or of a film: blocks of one rate, the first one's, mixed to mono.

    Raises `BadSound` for what is no sound, empty, not as `sound_files.checked` has it, or longer than MAX_SECONDS.
    """
    if not path.stat().st_size:
        raise BadSound("empty file")
    samples = 0
    for block in _blocks(path):
        samples += len(block.waveform)
        if samples > MAX_SECONDS * block.sample_rate:
            raise _too_long()
        yield block
    if not samples:
        raise BadSound("no samples")


def seconds(path: Path) -> float:
    """How long the sound of a file is, nearly: as libsndfile's header says, or else FFmpeg's packets.

    Raises `BadSound` for what is no sound, empty, or longer than MAX_SECONDS.
    """
    if not path.stat().st_size:
        raise BadSound("empty file")
    with path.open("rb") as file:
        said = None if wav.goes_on(file) else _said(file)
        if said is not None and 0 < said <= MAX_SECONDS:
            return said
        file.seek(0)
        with sound_files.opened(file) as (container, track):
            packets = containers.packets(container, track)
            counted = float(sum(packet.duration or 0 for packet in packets) * track.time_base)
    if counted > MAX_SECONDS:
        raise _too_long()
    return counted


def _too_long() -> BadSound:
    return BadSound(f"more than {MAX_SECONDS:.0f} s of sound")


# --- the two decoders


def _said(file: IO[bytes]) -> float | None:
    """How long a sound is by its header, in seconds; None of formats that libsndfile does not know."""
    try:
        return float(soundfile.info(containers.Sought(file)).duration)
    except soundfile.SoundFileError:
        return None


def _blocks(path: Path) -> Iterator[Sound]:
    """The blocks of libsndfile, and what it has left of the file by FFmpeg."""
    samples, rate = 0, 0
    with path.open("rb") as file:
        for block in _by_libsndfile(file):
            samples, rate = samples + len(block.waveform), block.sample_rate
            yield block
        size, read = path.stat().st_size, file.tell()
        left = (size - read) / max(read, 1)  # of what was read
        if samples and samples / rate * left < sound_files.MISSED:
            return
        file.seek(0)
        try:
            yield from _by_ffmpeg(file, samples, rate)
        except BadSound:
            if not samples:
                raise


def _by_libsndfile(file: IO[bytes]) -> Iterator[Sound]:
    """The blocks of a file; none of one that it does not know, and no more where it gives up. Raises `BadSound`."""
    with suppress(soundfile.SoundFileError), soundfile.SoundFile(containers.Sought(file)) as sound:
        sound_files.check_form(sound.samplerate, sound.channels)
        yield from (Sound(wave, sound.samplerate) for wave in sound_files.read_mono(sound))


def _by_ffmpeg(file: IO[bytes], skipped: int, rate: int) -> Iterator[Sound]:
    """The blocks of a file after so many samples at a rate, by default the first one's. Raises `BadSound`."""
    with sound_files.opened(file) as (container, track):
        for stretch in sound_files.stretches(containers.decoded(containers.packets(container, track))):
            rate = rate or stretch.rate
            wave = sound_files.resample(stretch.wave, stretch.rate, rate)
            yield Sound(wave[skipped:], rate)
            skipped = max(skipped - len(wave), 0)
