"""A film: the pictures of a long sound, each shown while its window of the sound is heard."""

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from cycle_sound.media import sound_files
from cycle_sound.media.contact_sheet import magnified
from cycle_sound.media.sounds import Sound

RATE = 10  # pictures per second: players dislike fewer
SHOWN = 256  # pixels, at least
AUDIO_RATE = 48_000  # Hz, which every player knows


def film(pictures: Sequence[Image.Image], seconds: float, sound: Sound) -> bytes:
    """Encode an MP4 file (H.264, AAC) of square pictures of one size, each shown for `seconds`, with their sound."""
    shown = [magnified(picture, SHOWN) for picture in pictures]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        video.width = video.height = shown[0].width // 2 * 2  # H.264 halves the colours' resolution
        video.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        for number in range(round(min(len(shown) * seconds, sound.seconds) * RATE)):
            picture = shown[min(int(number / RATE / seconds), len(shown) - 1)]
            container.mux(video.encode(av.VideoFrame.from_image(picture)))
        container.mux(video.encode())
        container.mux(track.encode(_frame(sound)))
        container.mux(track.encode())
    return file.getvalue()


def _frame(sound: Sound) -> av.AudioFrame:
    """The whole sound as one frame at AUDIO_RATE."""
    wave = sound_files.resample(sound.waveform, sound.sample_rate, AUDIO_RATE)
    frame = av.AudioFrame.from_ndarray(np.clip(wave, -1, 1)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = AUDIO_RATE, Fraction(1, AUDIO_RATE), 0
    return frame
