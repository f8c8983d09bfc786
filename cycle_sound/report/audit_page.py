"""The worst pairs of an audit as a page, to see and hear."""

from collections.abc import Sequence

import numpy as np

from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.sounds import Sounds
from cycle_sound.io import templates
from cycle_sound.media import picture_files, sound_files
from cycle_sound.report import embed
from cycle_sound.report.tiles import Strip, Tile

TITLE = "Cycle_Sound: training pairs that explain each other worst"
TEMPLATES = templates.environment("cycle_sound.report")


def document(pairs: Split, sounds: Sounds, scores: np.ndarray, worst: Sequence[int]) -> str:
    """The page, as HTML that needs nothing beside it: the given rows of a split, each with its place and score.

    `sounds`: of the split, as obtained; `scores`: of every row, in nats.
    """
    strips = [_strip(pairs, sounds, row, rank, float(scores[row])) for rank, row in enumerate(worst, start=1)]
    css = templates.stylesheet("cycle_sound.report", "report.css")
    low, middle, high = np.quantile(scores, (0.05, 0.5, 0.95)).tolist()
    facts = {"pairs": len(scores), "low": low, "median": middle, "high": high, "below": int((scores < 0).sum())}
    return TEMPLATES.get_template("audit.html.j2").render(title=TITLE, css=css, strips=strips, **facts)


def _strip(pairs: Split, sounds: Sounds, row: int, rank: int, score: float) -> Strip:
    """One pair: its picture, and its sound with its log-mel."""
    label = pairs.labels[row]
    name = f"{pairs.ids[row]}, {label}" if label else pairs.ids[row]
    picture = picture_files.to_picture(pairs.pictures("image", [row])[0].numpy())
    log_mel = embed.log_mel(pairs.pictures("audio", [row])[0].numpy())
    heard = sound_files.encode_mp3(sounds.waveforms([row])[0].numpy(), sounds.sample_rate)
    tiles = [
        Tile("picture", embed.picture(picture), "", ""),
        Tile("sound", embed.picture(log_mel), embed.sound(heard, "mp3"), ""),
    ]
    return Strip(f"{rank}. {name}: {score:+.1f} nats", tiles)
