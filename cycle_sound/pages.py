"""The way around the cycle as one HTML page that needs nothing beside it."""

import base64
from collections.abc import Sequence
from html import escape

import matplotlib
import numpy as np
from PIL import Image

from cycle_sound import audio
from cycle_sound.outputs import png
from cycle_sound.params import Audio
from cycle_sound.sheet import magnified
from cycle_sound.sounds import Sound, encoded
from cycle_sound.system import Station

SHOWN = 192  # pixels of a station, at least
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
main { display: flex; flex-wrap: wrap; gap: 1.5rem }
figure { margin: 0; width: 12rem }
img { width: 12rem; height: 12rem; image-rendering: pixelated; border-radius: 4px; display: block }
audio { width: 12rem; height: 2rem; margin-top: .4rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .7rem; margin: .4rem 0; font-size: 14px }
dt { color: #777 } dd { margin: 0 }
figcaption { font-weight: 600 } p { max-width: 44rem; color: #555 }
"""
LEGEND = (
    "Label: what a classifier trained on real data calls the station, and how sure it is. "
    "Likelihood: how much likelier the station makes the one before it, in nats; above 0 the two belong together. "
    "Content: the cosine of what the station shows to what the start shows, as the models see it; 1 is the same."
)


def cycle(name: str, stations: Sequence[Station], config: Audio) -> str:
    """The page of the stations of a cycle that started from a file called `name`."""
    title = f"{name}, around the cycle"
    figures = "\n".join(_figure(place(number), station, config) for number, station in enumerate(stations))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<h1>{escape(title)}</h1>
<p>{escape(LEGEND)}</p>
<main>
{figures}
</main>
</html>
"""


def place(number: int) -> str:
    """Which station the number stands for: `start`, `round 1: there`, `round 1: back`, …"""
    return f"round {(number + 1) // 2}: {'back' if number % 2 == 0 else 'there'}" if number else "start"


def facts(station: Station) -> dict[str, str]:
    """What is said of a station: name → text."""
    said = {}
    if station.label is not None:
        said["label"] = f"{station.label.name} ({station.label.share:.2f})"
    if station.score is not None:
        said["likelihood"] = f"{station.score:+.1f} nats"
    return {**said, "content": f"{station.content:.2f}"}


def spectrogram(sound: Sound, config: Audio) -> Image.Image:
    """The log-mel of a sound at the models' rate as a picture, low at the bottom, a pixel per band and frame."""
    values = audio.log_mel(audio.resample(*sound, config.sample_rate), config)[0, ::-1]  # (mels, frames)
    colours = matplotlib.colormaps["magma"]((values + 1) / 2)[..., :3]
    return Image.fromarray(np.rint(colours * 255).astype(np.uint8))


def _figure(place: str, station: Station, config: Audio) -> str:
    player = ""
    if isinstance(station.thing, Sound):
        picture = spectrogram(station.thing, config)
        player = f'<audio controls src="{_data("audio/wav", encoded(station.thing, "wav"))}"></audio>'
    else:
        picture = magnified(station.thing, SHOWN)
    said = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(station).items())
    shown = f'<img alt="{escape(place)}" src="{_data("image/png", png(picture))}">'
    return f"<figure>{shown}{player}<figcaption>{escape(place)}</figcaption><dl>{said}</dl></figure>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
