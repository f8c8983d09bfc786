"""Pairs of a direction to see and hear: best, median and worst, around the cycle, beside training neighbours."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.training_set import TrainingSet
from cycle_sound.evaluation.samples import Samples
from cycle_sound.media import picture_files, sound_files
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.vocoder import Vocoder
from cycle_sound.params import AudioConfig, Modality, ReportConfig, target_of
from cycle_sound.report import embed
from cycle_sound.report.neighbours import Nearest
from cycle_sound.report.tiles import Strip, Tile

OUTCOME = ("source", "generated", "real")
CYCLE = ("source", "generated", "returned")


class ReportContext(NamedTuple):
    """What all examples are shown with."""

    train: Mapping[Modality, Split | TrainingSet]  # what each modality is learned from
    classifiers: Mapping[Modality, Classifier | None]
    vocoder: Vocoder
    audio: AudioConfig
    config: ReportConfig
    seed: int


def ranked(samples: Samples, count: int) -> dict[str, list[int]]:
    """Rows of the best, median and worst pairs by pointwise mutual information, of each at least 1, at most `count`."""
    order = samples.pointwise_mutual_information.argsort(descending=True, stable=True).tolist()
    count = max(1, min(count, len(order) // 3))
    middle = (len(order) - count) // 2
    return {"best": order[:count], "median": order[middle : middle + count], "worst": order[-count:]}


def outcome(samples: Samples, row: int, context: ReportContext) -> Strip:
    """One pair: source → generated → real."""
    tiles = [_tile(show, samples.modality(show), getattr(samples, show)[row], "", context) for show in OUTCOME]
    return Strip(f"{_caption(samples, row)}: {samples.pointwise_mutual_information[row]:+.1f} nats", tiles)


def cycle(samples: Samples, row: int, context: ReportContext) -> Strip:
    """One pair around the cycle: source → generated → source back, each with the label that a classifier gives it."""
    tiles = []
    for show in CYCLE:
        modality, picture = samples.modality(show), getattr(samples, show)[row]
        tiles.append(_tile(show, modality, picture, classify(context.classifiers[modality], picture), context))
    return Strip(_caption(samples, row), tiles)


def beside(samples: Samples, row: int, found: Nearest, context: ReportContext) -> Strip:
    """A generated sample and its nearest training target."""
    modality, neighbour = target_of(samples.direction), int(found.rows[row])
    train = context.train[modality]
    near, label = train.pictures(modality, [neighbour])[0], train.labels[neighbour]
    tiles = [
        _tile("generated", modality, samples.generated[row], samples.labels[row], context),
        _tile("nearest in train", modality, near, label, context),
    ]
    return Strip(f"{samples.ids[row]} – {train.ids[neighbour]}: {found.distances[row]:.3g} apart", tiles)


@torch.inference_mode()
def classify(classifier: Classifier | None, picture: Tensor) -> str:
    """The likeliest label of a picture (c, h, w); none, "", without a classifier."""
    return classifier.labels[int(classifier(picture[None]).argmax())] if classifier else ""


def _caption(samples: Samples, row: int) -> str:
    label = samples.labels[row]
    return f"{samples.ids[row]}, {label}" if label else samples.ids[row]


def _tile(name: str, modality: Modality, picture: Tensor, label: str, context: ReportContext) -> Tile:
    """A tile of a picture (c, h, w) in [-1, 1]."""
    values = picture.numpy()
    if modality == "image":
        return Tile(name, embed.picture(picture_files.to_picture(values)), "", label)
    wave = context.vocoder.waveforms(picture[None])[0].numpy()
    heard = embed.sound(sound_files.encode_mp3(wave, context.audio.sample_rate), "mp3")
    return Tile(name, embed.picture(embed.log_mel(values)), heard, label)
