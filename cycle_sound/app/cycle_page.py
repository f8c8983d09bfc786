"""The way around the cycle as a page: its stations, with what is known of each."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cycle_sound.inference.system import Station
from cycle_sound.io import templates
from cycle_sound.media import enlarging, images, mel, sound_files, sound_writer
from cycle_sound.media.sounds import Sound
from cycle_sound.params import AudioConfig
from cycle_sound.report import embed

SHOWN = 192  # pixels of a station, at least
STYLE_SHEET = templates.stylesheet("cycle_sound.app", "stations.css")
STYLE = str(STYLE_SHEET)  # for pages of another template engine
LEGEND = (
    "Label: what a classifier trained on real data recognises in it, and its probability. "
    "Score: log-likelihood ratio of the source with and without this result, in nats; "
    "above 0 the two belong together. "
    "Confidence: the probability that it matches its source, if the models have a fitted confidence; "
    "low for a source unlike the training data. "
    "Content: its similarity to the start, a cosine in the models' embedding; 1 is the same."
)
TEMPLATES = templates.environment("cycle_sound.app", "cycle_sound.report")


class Shown(NamedTuple):
    """A station as its template shows it."""

    caption: str
    picture: str  # a data URI
    sound: str  # a data URI; "" for a picture
    facts: dict[str, str]


def cycle(name: str, stations: Sequence[Station], config: AudioConfig, warning: str | None = None) -> str:
    """The page, as HTML, of the stations of a cycle that started from the file of that name, below a warning."""
    return TEMPLATES.get_template("cycle.html.j2").render(
        title=f"{name}, around the cycle",
        css=templates.stylesheet("cycle_sound.report", "report.css") + STYLE_SHEET,
        legend=LEGEND,
        warning=warning,
        stations=[_shown(place(number), station, config) for number, station in enumerate(stations)],
    )


def stations_html(stations: Iterable[tuple[str, Station]], config: AudioConfig, warning: str | None = None) -> str:
    """Stations with their captions, side by side below a warning, as HTML for a page that has STYLE."""
    shown = [_shown(caption, station, config) for caption, station in stations]
    return TEMPLATES.get_template("stations.html.j2").render(stations=shown, warning=warning)


class Film(NamedTuple):
    """A film as its template shows it."""

    caption: str
    name: str  # of the file
    address: str


def films(shown: Sequence[Film], warnings: Sequence[str] = ()) -> str:
    """Films, side by side below warnings, as HTML for a page that has STYLE."""
    return TEMPLATES.get_template("films.html.j2").render(films=shown, warnings=warnings)


def place(number: int) -> str:
    """Which station the number stands for: `start`, `round 1: there`, `round 1: back`, …"""
    return f"round {(number + 1) // 2}: {'back' if number % 2 == 0 else 'there'}" if number else "start"


def facts(station: Station) -> dict[str, str]:
    """What is known of a station: name → text."""
    known = {}
    if station.label is not None:
        known["label"] = f"{station.label.name} ({station.label.probability:.2f})"
    if station.score is not None:
        known["score"] = f"{station.score:+.1f} nats"
    if station.confidence is not None:
        known["confidence"] = f"{station.confidence:.2f}"
    return {**known, "content": f"{station.content:.2f}"}


def _shown(caption: str, station: Station, config: AudioConfig) -> Shown:
    thing = station.thing
    if not isinstance(thing, Sound):
        seen = images.to_square(thing, min(SHOWN, *thing.size))  # of a start, what models see, however large it is
        return Shown(caption, embed.picture(enlarging.nearest(seen, SHOWN)), "", facts(station))
    wave = sound_files.resample(*thing, config.sample_rate)
    log_mel = mel.log_mel(wave, config, max(len(wave), config.hop_length))  # of the shortest sounds, one hop
    heard = embed.sound(sound_writer.encoded(thing, "wav"), "wav")
    return Shown(caption, embed.picture(embed.log_mel(log_mel)), heard, facts(station))
