"""Sound files and waveforms: float32 (samples,), mono, 1.0 at full scale. Files are not trusted: all is bounded.

libsndfile decodes what it knows. FFmpeg decodes the rest: what telephones record, what has junk before it, and what
libsndfile has left before its end, because the length in a header is a guess.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import chain, groupby
from math import ceil, inf
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
WINDOW = 1 / 12  # s: over so long a time, unrelated channels do not cancel by chance
PIECE = 9  # windows, 0.75 s, for which it is decided whether channels cancel, however much is read at once
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
        if soundfile.info(containers.Sought(io.BytesIO(content))).format == "MP3":
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
    """FFmpeg's decoded frames as stretches, each of as many samples as `together` at most.

    Raises `BadSound` for a rate or a number of channels outside what is decoded, and what `mono` raises.
    """
    last, number = None, 0

    def run(frame: Any) -> int:
        nonlocal last, number
        number += last is not None and not _continues(last, frame)
        last = frame
        return number

    return chain.from_iterable(_mixed_run(some) for _, some in groupby(frames, run))


def read_mono(file: soundfile.SoundFile, samples: float = inf) -> Iterator[np.ndarray]:
    """The start of an open file in blocks (n,), channels mixed: `samples`, if it has so many, and the rest of a piece.

    Raises what `mono` and libsndfile raise.
    """
    while samples > 0:
        asked = together(file.samplerate, file.channels)
        if samples < asked:
            # Of a whole piece, what is mixed does not depend on where reading ends. One channel is never mixed.
            asked = int(samples) if file.channels == 1 else _whole_pieces(samples, file.samplerate)
        block = file.read(asked, dtype="float32", always_2d=True)  # (samples, channels)
        if len(block):
            yield mono(block, file.samplerate)
        samples -= len(block)
        if len(block) < asked:
            break


def together(rate: int, channels: int) -> int:
    """How many samples of each channel are read and mixed at once: BLOCK of all in whole pieces, or one piece."""
    return max(1, BLOCK // channels // _piece(rate)) * _piece(rate)


def check_form(rate: int, channels: int) -> None:
    """Raise `BadSound` for a rate, in Hz, that is not among RATES, or more than MAX_CHANNELS."""
    if rate not in RATES or channels > MAX_CHANNELS:
        raise BadSound(f"{rate} Hz, {channels} channels: outside what is decoded")


@contextmanager
def opened(file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """The container in a file, as FFmpeg reads it, and the sound in it that players choose. Raises `BadSound`.

    A WAV or AIFF file of which more is sound than its header counts is read to its end.
    """
    goes_on = wav.goes_on(file)
    endless = {"ignore_length": "1"} if goes_on else {}
    try:
        container = containers.opened(wav.recounted(file) if goes_on else file, containers.SOUNDS, **endless)
    except av.FFmpegError:
        raise BadSound(f"cannot be decoded: none of {KINDS}") from None
    with container:
        track = containers.sound_of(container, containers.picture_of(container))
        if track is None or track.codec_context is None:
            raise BadSound("holds no sound")
        yield container, track


# --- waveforms


def mono(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mix channels, (n, channels) → (n,), of at least one sample, at a rate in Hz.

    The result is their average; but in each piece in which channels in opposite phase, which ears do not mind, would
    cancel more than the share CANCELLED of the energy, it is the first channel of at least half the power of the
    strongest. Pieces of 0.75 s are counted from the first sample on: mixed in parts of whole pieces, a sound is the
    same. Raises `BadSound` as `checked` does.
    """
    if samples.shape[1] == 1:
        return checked(samples[:, 0])
    with np.errstate(over="ignore", invalid="ignore"):  # of samples that are refused then
        mixed = _mixed(samples, rate)
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
    with soundfile.SoundFile(containers.Sought(source)) as file:
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
    blocks = list(read_mono(file, samples))
    if len(blocks) > 1:
        return np.concatenate(blocks)[:samples]
    return blocks[0][:samples] if blocks else np.zeros(0, np.float32)


def _continues(last: Any, frame: Any) -> bool:
    """Whether a frame of sound follows another one without a gap, and in the same form."""
    forms = [(one.sample_rate, one.layout.name, one.layout.nb_channels, one.format.name) for one in (last, frame)]
    if last.time is None or frame.time is None:
        return forms[0] == forms[1]
    return forms[0] == forms[1] and abs(last.time + last.samples / last.sample_rate - frame.time) < JUMP


def _mixed_run(run: Iterator[Any]) -> Iterator[Stretch]:
    """Frames of one form, without a gap, joined and mixed in whole pieces; the last stretch is what is left."""
    first = next(run)
    time, rate, channels = first.time, first.sample_rate, first.layout.nb_channels
    check_form(rate, channels)
    size = together(rate, channels)
    # With channels interleaved: of more than eight planes PyAV reads beyond the last.
    to_float = av.AudioResampler(format="flt")
    parts: list[np.ndarray] = []  # (samples, channels) each
    held = 0
    for frame in chain([first], run):
        parts += [part.to_ndarray().reshape(-1, channels) for part in to_float.resample(frame)]
        held += frame.samples
        while held >= size:
            joined = np.concatenate(parts)
            yield Stretch(time, mono(joined[:size], rate), rate)
            parts, held = [joined[size:]], held - size
            time = None if frame.time is None else frame.time + (frame.samples - held) / rate
    if held:
        yield Stretch(time, mono(np.concatenate(parts), rate), rate)


def _window(rate: int) -> int:
    """The samples of a window."""
    return round(WINDOW * rate)


def _piece(rate: int) -> int:
    """The samples of a piece."""
    return PIECE * _window(rate)


def _whole_pieces(samples: float, rate: int) -> int:
    """The samples of the fewest pieces that hold so many."""
    return ceil(samples / _piece(rate)) * _piece(rate)


def _mixed(samples: np.ndarray, rate: int) -> np.ndarray:
    """The average of channels (n, channels) → (n,), or, piece by piece, a strong one."""
    mix = reduce(np.add, samples.T)  # over so short an axis numpy's own mean is slow
    mix /= np.float32(samples.shape[1])
    end = len(samples) // _piece(rate) * _piece(rate)
    for part, size in ((slice(end), _piece(rate)), (slice(end, None), len(samples) - end)):  # whole pieces, and a rest
        if len(mix[part]):
            pieces = samples[part].reshape(-1, size, samples.shape[1])
            _choose(pieces, mix[part].reshape(-1, size), min(_window(rate), size))
    return mix


def _choose(pieces: np.ndarray, mix: np.ndarray, width: int) -> None:
    """Put a strong channel into the average (pieces, n) of pieces (pieces, n, channels) that cancel in it.

    The first of several that are about equally strong: opposite ones in turns would click where pieces meet.
    """
    cancelled = np.flatnonzero(_cancel(pieces, mix, width))
    if cancelled.size:
        own = pieces[cancelled]
        power = np.var(own, axis=1)  # (pieces, channels)
        first = (power >= power.max(1, keepdims=True) / 2).argmax(1)
        mix[cancelled] = np.take_along_axis(own, first[:, None, None], 2)[..., 0]


def _cancel(pieces: np.ndarray, mix: np.ndarray, width: int) -> np.ndarray:
    """In which pieces channels (pieces, n, channels) cancel in their average (pieces, n): bool (pieces,)."""
    # An offset that hides it shows in the average, so that most sounds need no pass that takes offsets out.
    offset = np.vecdot(_windows(mix, width), np.ones(width, np.float32)).mean(1) / width
    cancel = ~(np.abs(offset) <= OFFSET) | _lose(pieces, mix, width)
    looked = np.flatnonzero(cancel)
    if looked.size:
        own = pieces[looked]
        offsets = _windows(own, width).mean(1).reshape(len(own), width, -1).mean(1)  # (pieces, channels)
        cancel[looked] = _lose(own - offsets[:, None], mix[looked] - offsets.mean(1, keepdims=True), width)
    return cancel


def _lose(pieces: np.ndarray, mix: np.ndarray, width: int) -> np.ndarray:
    """In which pieces channels lose in their average, within windows, so much that it does not stand for them.

    True of channels without a finite energy, which might cancel unseen: one of them is not finite, or above LOUDEST.
    """
    own, left = _energies(pieces, width), pieces.shape[2] ** 2 * _energies(mix, width)  # equal for unrelated channels
    total = own.sum(1)
    return ~np.isfinite(total) | (np.where(left < OPPOSITE * own, own, 0).sum(1) > CANCELLED * total)


def _energies(pieces: np.ndarray, width: int) -> np.ndarray:
    """The energy in each window of so many samples, in all channels together: (pieces, windows)."""
    windows = _windows(pieces, width)
    return np.vecdot(windows, windows)


def _windows(pieces: np.ndarray, width: int) -> np.ndarray:
    """Pieces (pieces, n) or (pieces, n, channels) in windows of so many samples, what is left over cut off.

    (pieces, windows, width × channels).
    """
    count = pieces.shape[1] // width
    return pieces[:, : count * width].reshape(len(pieces), count, -1)
