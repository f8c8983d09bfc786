"""Sound files and waveforms: float32 (samples,), mono, 1.0 at full scale. Files are not trusted: all is bounded.

libsndfile decodes what it knows. FFmpeg decodes the rest: what telephones record, what has junk before it, and what
libsndfile has left before its end, because the length in a header is a guess.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from math import ceil
from typing import IO, Any, NamedTuple

import av
import numpy as np
import soundfile
import soxr

from cycle_sound.errors import BadSound
from cycle_sound.media import containers, wav

KINDS = "MP3, WAV, FLAC, Ogg, Opus, M4A, AAC, WMA, AMR, AIFF"
ENDINGS = (".aac", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma")
MAX_SECONDS = 600.0  # a pair needs seconds; ten minutes at 192 kHz take 460 MB in a worker, twice while they are joined
RATES = range(4_000, 192_001)  # Hz; a header that says 1 Hz would be resampled to thousands of times its size
MAX_CHANNELS = 64  # no recorder has more, and a block is read with all of them
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, all that the format knows
BLOCK = 1 << 20  # samples of all channels read at once, 4 MB: each read ends in a seek, so small ones cost an MP3 twice
MARGIN = 0.25  # s beyond a clip that its resampling may look ahead to
MISSED = 0.1  # s; of a sound's ends, two decoders leave out less
JUMP = 0.1  # s between a frame's end and the next one's time; less is a rounded time stamp
SILENCE = 1e-10  # amplitude that stands for nothing: -200 dBFS
WINDOW = 4096  # samples, 85 ms at 48 kHz: over so long a time, unrelated channels do not cancel by chance
OPPOSITE = 0.25  # of the power that the average of unrelated channels has; that of opposite ones has less
OFFSET = 1e-3  # of full scale; a smaller one, as in most sounds, hides nothing
CANCELLED = 0.1  # of a sound's energy; the average that loses more does not stand for it
LOUDEST = 1e6  # × full scale: no sound, and its power is still a float32


class Stretch(NamedTuple):
    """Sound without a gap, at one rate."""

    time: float | None  # s, of presentation; None where the file does not say
    wave: np.ndarray  # float32 (samples,)
    rate: int  # Hz


# --- files


def decode(content: bytes, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Decode a sound file, of KINDS or within a video, to a waveform and its rate in Hz; `mono` mixes the channels.

    With `seconds` only so much is decoded, from its start on, as far as the file and MAX_SECONDS reach. Of a rate that
    changes, the first one counts.
    Raises `BadSound` for what is no sound, empty, broken, not as `checked` has it, or longer than MAX_SECONDS without
    `seconds`.
    """
    if not content:
        raise BadSound("empty file")
    most = MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS)
    # One sample more tells whether a sound is longer than that.
    wave, rate = _decoded(content, most, more=seconds is None)
    if seconds is None and len(wave) > round(rate * most):
        raise BadSound(f"more than {MAX_SECONDS:.0f} s of sound")
    if not wave.size:
        raise BadSound("no samples")
    return wave, rate


def as_mp3(content: bytes, seconds: float) -> bytes:
    """Convert the first `seconds` of a sound file to MP3; one that is MP3 already is returned as it is, and whole.

    Raises `BadSound`.
    """
    try:
        if soundfile.info(io.BytesIO(content)).format == "MP3":
            return content
    except soundfile.SoundFileError:
        pass  # another decoder may know it
    return encode_mp3(*decode(content, seconds))


def mp3_rate(sample_rate: int) -> int:
    """The rate of MP3 that is nearest to a rate, in Hz."""
    return min(MP3_RATES, key=lambda known: abs(known - sample_rate))


def encode_mp3(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Encode a waveform as a mono MP3 file, at the nearest rate that MP3 has; beyond full scale it is clipped."""
    rate = mp3_rate(sample_rate)
    file = io.BytesIO()
    soundfile.write(file, np.clip(resample(waveform, sample_rate, rate), -1, 1), rate, format="MP3")
    return file.getvalue()


def stretches(frames: Iterable[Any]) -> Iterator[Stretch]:
    """FFmpeg's decoded frames as stretches, of BLOCK samples of all channels and one frame at most.

    Raises `BadSound` for a rate or a number of channels outside what is decoded, and what `mono` raises.
    """
    run: list[Any] = []
    size = 0
    for frame in frames:
        if run and (size > BLOCK or not _continues(run[-1], frame)):
            yield _stretch(run)
            run, size = [], 0
        run.append(frame)
        size += frame.samples * frame.layout.nb_channels
    if run:
        yield _stretch(run)


def check_form(rate: int, channels: int) -> None:
    """Raise `BadSound` for a rate, in Hz, that is not among RATES, or more than MAX_CHANNELS."""
    if rate not in RATES or channels > MAX_CHANNELS:
        raise BadSound(f"{rate} Hz, {channels} channels: outside what is decoded")


@contextmanager
def opened(file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """The container in a file, as FFmpeg reads it, and the sound in it that players choose. Raises `BadSound`.

    A WAV file of which more is sound than its header counts is read to its end.
    """
    endless = {"ignore_length": "1"} if wav.goes_on(file) else {}
    try:
        container = containers.opened(file, containers.SOUNDS, **endless)
    except av.FFmpegError:
        raise BadSound(f"cannot be decoded: none of {KINDS}") from None
    with container:
        track = containers.sound_of(container, containers.picture_of(container))
        if track is None or track.codec_context is None:
            raise BadSound("holds no sound")
        yield container, track


# --- waveforms


def mono(samples: np.ndarray) -> np.ndarray:
    """Mix channels, (n, channels) → (n,), of at least one sample.

    The result is their average; but where channels in opposite phase, which ears do not mind, would cancel more than
    the share CANCELLED of the energy in it, it is the strongest channel. Raises `BadSound` as `checked` does.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of samples that are refused then
        mixed = _mixed(samples)
    return checked(mixed)


def checked(waveform: np.ndarray) -> np.ndarray:
    """A waveform, once it is known that models can hear it. Raises `BadSound` if not finite, or above LOUDEST."""
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.vecdot(waveform, waveform)
    if energy <= LOUDEST**2:  # so no sample is above: of most sounds the only look at them
        return waveform
    if not np.isfinite(waveform).all():
        raise BadSound("holds NaN or infinite samples")
    if np.abs(waveform).max(initial=0) > LOUDEST:
        raise BadSound(f"holds samples above {LOUDEST:g}: 1.0 is full scale")
    return waveform


def resample(waveform: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """Convert a waveform from one sample rate, in Hz, to another."""
    if rate_from == rate_to:
        return waveform
    heard = soxr.resample(waveform, rate_from, rate_to).astype(np.float32, copy=False)
    return fit_length(heard, ceil(len(waveform) * (rate_to / rate_from)))


def fit_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Cut a waveform to `samples`, or pad it with zeros at its end."""
    missing = samples - len(waveform)
    return waveform[:samples] if missing <= 0 else np.pad(waveform, (0, missing))


def level_db(waveform: np.ndarray) -> float:
    """Root mean square level in dBFS, without a DC offset: 0 for a full-scale square wave, -200 for silence."""
    power = np.var(waveform, dtype=np.float64) if waveform.size else 0.0
    return float(20 * np.log10(max(np.sqrt(power), SILENCE)))


# --- the two decoders


def _decoded(content: bytes, seconds: float, more: bool) -> tuple[np.ndarray, int]:
    """The start of a file, by libsndfile as far as that knows it and reads it to its end, else by FFmpeg."""
    try:
        wave, rate, is_whole = _by_libsndfile(content, seconds, more)
    except soundfile.SoundFileError:
        return _by_ffmpeg(content, seconds, more)
    if is_whole:
        return wave, rate
    try:
        other, other_rate = _by_ffmpeg(content, seconds, more)
    except BadSound:
        return wave, rate
    return (other, other_rate) if len(other) / other_rate > len(wave) / rate + MISSED else (wave, rate)


def _by_libsndfile(content: bytes, seconds: float, more: bool) -> tuple[np.ndarray, int, bool]:
    """The start of a file, its rate, and whether what is missing of it is not in the file either."""
    source = io.BytesIO(content)
    with soundfile.SoundFile(source) as file:
        rate = file.samplerate
        check_form(rate, file.channels)
        wanted = round(rate * seconds) + more
        wave = _read_mono(file, wanted)
        read = source.tell()
        missed = file.frames / rate * (len(content) - read) / max(read, 1)  # s, at the mean rate of what was read
        return wave, rate, len(wave) == wanted or (len(wave) > 0 and missed < MISSED)


def _by_ffmpeg(content: bytes, seconds: float, more: bool) -> tuple[np.ndarray, int]:
    """The start of a file, and its rate. Raises `BadSound`."""
    waves, samples, rate, wanted = [np.zeros(0, np.float32)], 0, 1, 0
    with opened(io.BytesIO(content)) as (container, track):
        for stretch in stretches(containers.decoded(containers.packets(container, track))):
            if not samples:
                rate = stretch.rate
                wanted = round(seconds * rate) + more
            waves.append(resample(stretch.wave, stretch.rate, rate))
            samples += len(waves[-1])
            if samples >= wanted:
                break
    return np.concatenate(waves)[:wanted], rate


def _read_mono(file: soundfile.SoundFile, samples: int) -> np.ndarray:
    """Up to `samples` samples, channels mixed: float32 (n,)."""
    blocks: list[np.ndarray] = []
    while samples > 0:
        asked = min(BLOCK // file.channels, samples)
        block = file.read(asked, dtype="float32", always_2d=True)  # (samples, channels)
        if len(block):
            blocks.append(mono(block))
        samples -= len(block)
        if len(block) < asked:
            break
    if len(blocks) > 1:
        return np.concatenate(blocks)
    return blocks[0] if blocks else np.zeros(0, np.float32)


def _continues(last: Any, frame: Any) -> bool:
    """Whether a frame of sound follows another one without a gap, and in the same form."""
    forms = [(one.sample_rate, one.layout.name, one.layout.nb_channels, one.format.name) for one in (last, frame)]
    if last.time is None or frame.time is None:
        return forms[0] == forms[1]
    return forms[0] == forms[1] and abs(last.time + last.samples / last.sample_rate - frame.time) < JUMP


def _stretch(run: list[Any]) -> Stretch:
    """Frames of one form, joined and mixed."""
    rate, channels = run[0].sample_rate, run[0].layout.nb_channels
    check_form(rate, channels)
    to_float = av.AudioResampler(
        format="flt"
    )  # channels by turns: of more than eight planes PyAV reads beyond the last
    parts = [part.to_ndarray().reshape(-1, channels) for frame in run for part in to_float.resample(frame)]
    return Stretch(run[0].time, mono(np.concatenate(parts)), rate)


def _mixed(samples: np.ndarray) -> np.ndarray:
    """The average of channels (n, channels) → (n,), or the strongest."""
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    mix = reduce(np.add, samples.T)  # over so short an axis numpy's own mean is slow
    mix /= np.float32(channels)
    return samples[:, np.var(samples, axis=0).argmax()] if _cancel(samples, mix) else mix


def _cancel(samples: np.ndarray, mix: np.ndarray) -> bool:
    """Whether channels (n, channels) cancel in their average (n,)."""
    length, channels = samples.shape
    width = min(WINDOW, length)
    # An offset that hides it shows in the average, so that most sounds need no pass that takes offsets out.
    offset = np.vecdot(_windows(mix, width), np.ones(width, np.float32)).mean() / width
    if abs(offset) <= OFFSET and not _lose(samples, mix, width):
        return False
    offsets = _windows(samples, width).mean(0).reshape(width, channels).mean(0)
    return _lose(samples - offsets, mix - offsets.mean(), width)


def _lose(samples: np.ndarray, mix: np.ndarray, width: int) -> bool:
    """Whether channels lose in their average, within windows, so much that it does not stand for them.

    True of channels without a finite energy, which might cancel unseen: one of them is not finite, or above LOUDEST.
    """
    own, left = _energies(samples, width), samples.shape[1] ** 2 * _energies(mix, width)  # equal for unrelated channels
    total = own.sum()
    return not np.isfinite(total) or bool(own[left < OPPOSITE * own].sum() > CANCELLED * total)


def _energies(samples: np.ndarray, width: int) -> np.ndarray:
    """The energy in each window of so many samples, in all channels together: (windows,)."""
    windows = _windows(samples, width)
    return np.vecdot(windows, windows)


def _windows(samples: np.ndarray, width: int) -> np.ndarray:
    """Samples (n,) or (n, channels) in windows of so many, what is left over cut off: (windows, width × channels)."""
    return samples[: len(samples) // width * width].reshape(len(samples) // width, -1)
