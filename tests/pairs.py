"""Pairs as corpora hold them, of soft blobs and random notes; pure tones, pictures of noise, of odd encodings."""

import io
from fractions import Fraction

import av
import numpy as np
import soundfile
from PIL import Image

from cycle_sound.acquisition import fingerprints
from cycle_sound.acquisition.fingerprints import Fingerprint
from cycle_sound.acquisition.sources.clip import Pair
from cycle_sound.media import images, sound_files
from cycle_sound.media.sounds import Sound

RATE = 16000


def smooth(seed: int) -> Image.Image:
    """A picture of soft blobs: what photographs are, as far as a fingerprint sees."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((180, 140), Image.Resampling.BICUBIC)


def melody(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Four random notes over a little noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitches = rng.uniform(300, 3000, (4, 3)).repeat(-(-len(times) // 4), axis=0)[: len(times)]
    tones = np.sin(2 * np.pi * pitches * times[:, None]).mean(axis=1)
    return (0.5 * tones + rng.normal(0, 0.01, len(times))).astype(np.float32)


def jpeg(picture: Image.Image, quality: int = 95) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def pair_of(picture: int, sound: int) -> Pair:
    return Pair(jpeg(smooth(picture)), sound_files.encode_mp3(melody(sound), RATE))


def print_of(pair: Pair) -> Fingerprint:
    assert pair.picture is not None
    assert pair.sound is not None
    return fingerprints.of(images.open_picture(pair.picture), sound_files.decode(pair.sound))


def differing(one: Fingerprint, other: Fingerprint) -> tuple[int, int]:
    return fingerprints.differing(one.picture, other.picture), fingerprints.differing(one.sound, other.sound)


def give(pair: Pair) -> Pair:
    return pair


def wav(wave: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def tones(count: int, rate: int = RATE) -> list[Sound]:
    """Sounds of 1.536 s, each of another pitch."""
    times = np.arange(round(1.536 * rate)) / rate
    return [Sound((0.3 * np.sin(2 * np.pi * 200 * (1 + n) * times)).astype(np.float32), rate) for n in range(count)]


def pictures(count: int) -> list[Image.Image]:
    """Pictures of noise, higher than they are wide."""
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (80, 64, 3), np.uint8)) for _ in range(count)]


def gradient(width: int, height: int) -> Image.Image:
    """A picture that gets redder to the right and greener downwards."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, np.full_like(across, 90)], 2).astype(np.uint8))


def lossless_jpeg(form: str = "yuvj420p") -> bytes:
    """A JPEG of predicted pixels, large enough to be decoded at a part of its size."""
    codec = av.CodecContext.create("ljpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 1024, 768, form, Fraction(1, 25)
    frame = av.VideoFrame.from_image(gradient(1024, 768)).reformat(format=form, dst_color_range="JPEG")
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))
