"""The way around the cycle as a page: its stations, with what is said of each."""

from collections.abc import Iterable, Sequence
from html import escape

from cycle_sound import audio, markup
from cycle_sound.params import Audio
from cycle_sound.sheet import magnified
from cycle_sound.sounds import Sound, encoded
from cycle_sound.system import Station

SHOWN = 192  # pixels of a station, at least
PAGE_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
p { max-width: 44rem; color: #555 }
"""
STYLE = """
.stations { display: flex; flex-wrap: wrap; gap: 1.5rem }
.stations figure { margin: 0; width: 12rem }
.stations img { width: 12rem; height: 12rem; image-rendering: pixelated; border-radius: 4px; display: block }
.stations audio { width: 12rem; height: 2rem; margin-top: .4rem }
.stations dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .7rem; margin: .4rem 0; font-size: 14px }
.stations dt { opacity: .6 } .stations dd { margin: 0 }
.stations figcaption { font-weight: 600 }
"""
LEGEND = (
    "Label: what a classifier trained on real data calls the station, and how sure it is. "
    "Likelihood: how much likelier the station makes the one before it, in nats; above 0 the two belong together. "
    "Content: the cosine of what the station shows to what the start shows, as the models see it; 1 is the same."
)


def cycle(name: str, stations: Sequence[Station], config: Audio) -> str:
    """The page of the stations of a cycle that started from a file called `name`."""
    shown = figures(((place(number), station) for number, station in enumerate(stations)), config)
    return markup.document(f"{name}, around the cycle", f"<p>{escape(LEGEND)}</p>\n{shown}", PAGE_STYLE + STYLE)


def figures(stations: Iterable[tuple[str, Station]], config: Audio) -> str:
    """Stations with their captions, side by side, for a page that has STYLE."""
    shown = "\n".join(_figure(caption, station, config) for caption, station in stations)
    return f'<div class="stations">\n{shown}\n</div>'


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


def _figure(caption: str, station: Station, config: Audio) -> str:
    thing = station.thing
    if isinstance(thing, Sound):
        heard = audio.resample(*thing, config.sample_rate)
        shown = markup.picture(markup.log_mel(audio.log_mel(heard, config)), caption)
        shown += markup.player(encoded(thing, "wav"), "wav", caption)
    else:
        shown = markup.picture(magnified(thing, SHOWN), caption)
    said = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(station).items())
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption><dl>{said}</dl></figure>"
