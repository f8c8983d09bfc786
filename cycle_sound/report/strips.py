"""Pairs of a direction to see and hear: best, median and worst, around the cycle, beside training neighbours."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import torch
from torch import Tensor

from cycle_sound import audio, images, markup, vocoder
from cycle_sound.classifier import Classifier
from cycle_sound.params import Audio, Modality, target_of
from cycle_sound.report.neighbours import Nearest
from cycle_sound.samples import Samples
from cycle_sound.shards import Split

Judges = Mapping[Modality, Classifier | None]


class Tile(NamedTuple):
    """One picture or sound with what is said of it."""

    name: str
    modality: Modality
    picture: Tensor  # (c, h, w) in [-1, 1]
    said: str


def strip(caption: str, tiles: Sequence[Tile], config: Audio) -> str:
    """Tiles side by side under a caption."""
    shown = "".join(_figure(tile, f"{tile.name}, {caption}", config) for tile in tiles)
    return f'<div class="strip"><p>{escape(caption)}</p><div>{shown}</div></div>'


def ranked(samples: Samples, count: int) -> dict[str, list[int]]:
    """Rows of the best, median and worst pairs by what was explained, `count` of each at most and at least one."""
    order = samples.explained.argsort(descending=True, stable=True).tolist()
    count = max(1, min(count, len(order) // 3))
    middle = (len(order) - count) // 2
    return {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}


def outcome(samples: Samples, row: int, config: Audio) -> str:
    """One pair: source → generated → real."""
    tiles = [Tile(show, samples.modality(show), getattr(samples, show)[row], "") for show in _OUTCOME]
    return strip(f"{_title(samples, row)}: {samples.explained[row]:+.1f} nats", tiles, config)


def around(samples: Samples, row: int, judges: Judges, config: Audio) -> str:
    """One pair around the cycle: source → generated → source back, each with the label that a classifier gives it."""
    tiles = []
    for name, show in _AROUND.items():
        modality, picture = samples.modality(show), getattr(samples, show)[row]
        tiles.append(Tile(name, modality, picture, called(judges[modality], picture)))
    return strip(_title(samples, row), tiles, config)


def beside(samples: Samples, row: int, found: Nearest, train: Split, config: Audio) -> str:
    """A generated sample and its nearest training target."""
    modality, neighbour = target_of(samples.direction), int(found.rows[row])
    near = train.pictures(modality, [neighbour])[0]
    label = train.labels[neighbour]
    tiles = [
        Tile("generated", modality, samples.generated[row], samples.labels[row]),
        Tile("nearest in train", modality, near, label),
    ]
    return strip(f"{samples.ids[row]} – {train.ids[neighbour]}: {found.distances[row]:.3g} apart", tiles, config)


@torch.inference_mode()
def called(judge: Classifier | None, picture: Tensor) -> str:
    """What a classifier calls a picture (c, h, w); nothing without one."""
    return judge.labels[int(judge(picture[None]).argmax())] if judge else ""


_OUTCOME = ("source", "generated", "real")
_AROUND = {"source": "source", "there": "generated", "and back": "returned"}


def _title(samples: Samples, row: int) -> str:
    label = samples.labels[row]
    return f"{samples.ids[row]}, {label}" if label else samples.ids[row]


def _figure(tile: Tile, about: str, config: Audio) -> str:
    values, player = tile.picture.numpy(), ""
    if tile.modality == "image":
        shown = markup.picture(images.to_picture(values), about)
    else:
        wave = vocoder.waveforms(tile.picture[None], config)[0].numpy()
        player = markup.player(audio.encode_mp3(wave, config.sample_rate), "mp3", about)
        shown = markup.picture(markup.log_mel(values), f"log-mel: {about}")
    said = f"<small>{escape(tile.said)}</small>" if tile.said else ""
    return f"<figure>{shown}<figcaption>{escape(tile.name)}{said}</figcaption>{player}</figure>"
