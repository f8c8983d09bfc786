"""Confidence: a calibrated probability that a target, generated from a source, matches the source's content.

The product of two probabilities. That a familiar source, one like the training data, is matched: a logistic regression
on evidence, a few numbers that transformers and classifiers compute for any source and target, however the target was
sampled. And that the source is familiar: by how well its tokenizer reconstructs it (as autoencoders tell anomalies: An
and Cho 2015). Both are fitted to held-out pairs with labels; using them needs no labels.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from cycle_sound import paths
from cycle_sound.errors import BadConfidence
from cycle_sound.inference import bundle
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.engine import Engine
from cycle_sound.inference.fixed_batches import map_fixed_batches
from cycle_sound.io import files
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    Config,
    Direction,
    Modality,
    PerDirection,
    fault,
    opposite_of,
    source_of,
    target_of,
)

T = TypeVar("T")

BATCH = 2  # pairs at a time, for evidence: of a single one most work is for two rows, with its target and with none
MAX_BYTES = 1 << 16  # of a file, which has 1 kB
LIMIT = 1e6  # of any number in a file: no sum of them overflows
LEAST = 1e-4  # probability that a classifier is believed: what it says beyond would outweigh all else
WORST = math.log(4)  # log of the largest mean square error of values in [-1, 1]
BEST = 1e-12  # mean square error; a smaller one says no more

Number = Annotated[float, Field(ge=-LIMIT, le=LIMIT)]
Scale = Annotated[float, Field(ge=1 / LIMIT, le=LIMIT)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Evidence(NamedTuple):
    """What the models say of n sources and targets.

    The first four speak for a target: the higher, the better it fits its source. The last is about the source alone.
    """

    information: np.ndarray  # (n,) nats per code by which the target makes its source likelier, by the direction back
    alignment: np.ndarray  # (n,) cosine in [-1, 1] of what source and target show, as the direction sees it
    alignment_back: np.ndarray  # (n,) the same, as the direction back sees it
    agreement: np.ndarray  # (n,) log-odds that both have one label, as the classifiers of the two modalities see them
    source_error: np.ndarray  # (n,) mean square error of the source as its tokenizer reconstructs it


def evidence(engine: Engine, direction: Direction, sources: Tensor, targets: Tensor) -> Evidence:
    """The evidence of source pictures and of a target as it is perceived for each: (n, c, h, w), (n, c, h, w).

    By an engine that has the classifiers of both modalities.
    """
    back, source = opposite_of(direction), source_of(direction)
    shape, codes = engine.models.tokenizers[source].codes, engine.encode(source, sources)
    information = engine.information_of_codes(direction, codes, targets).double()
    parts = (
        information / (shape.codebooks * shape.places),
        engine.alignment(direction, sources, targets),
        engine.alignment(back, targets, sources),
        _agreement(engine.models, {source: sources, target_of(direction): targets}),
        engine.reconstruction_error(source, sources, codes),
    )
    return Evidence(*(part.double().numpy() for part in parts))


def _agreement(models: Models, pictures: Mapping[Modality, Tensor]) -> Tensor:
    """Log-odds that pictures of the two modalities, (n, c, h, w) each, have one label: (n,)."""
    image, audio = (_probabilities(models, modality, pictures[modality]) for modality in MODALITIES)
    same = torch.zeros(len(pictures["image"]), dtype=torch.float64)
    for label in sorted(image.keys() & audio.keys()):
        same += image[label] * audio[label]
    return same.logit(eps=LEAST)


def _probabilities(models: Models, modality: Modality, pictures: Tensor) -> dict[str, Tensor]:
    """The probability of each label in pictures (n, c, h, w), as a modality's classifier sees them: (n,) each."""
    classifier = models.classifiers[modality]
    assert classifier is not None
    logits = map_fixed_batches(classifier, models.device, pictures, size=BATCH)
    return dict(zip(classifier.labels, logits.double().softmax(1).unbind(1), strict=True))


class Term(Config):
    """What one kind of evidence adds to the log-odds: weight × (value − mean) / scale."""

    mean: Number
    scale: Scale
    weight: Number


class Terms(Config):
    """The terms of a regression, one for each kind of `Evidence` that speaks for a target."""

    information: Term
    alignment: Term
    alignment_back: Term
    agreement: Term


class Familiarity(Config):
    """The probability that a source is familiar, by the log of its reconstruction error: a mixture of two kinds.

    Familiar sources have Student's t-distribution, which is what held-out ones tell of another if their logs are normal
    (the posterior predictive; Gelman et al., Bayesian Data Analysis, section 3.2). Unfamiliar ones are reconstructed
    worse, by anything up to the largest error: their logs are uniform from `mean` on.
    """

    mean: Annotated[float, Field(ge=-LIMIT, le=0)]
    scale: Scale
    freedom: Annotated[int, Field(ge=1, le=LIMIT)]  # degrees of freedom
    unfamiliar: Annotated[float, Field(gt=0, lt=1)]  # fraction of all sources

    def of(self, error: float) -> float:
        """The probability that a source with this reconstruction error is familiar, in [0, 1]."""
        standard = max((math.log(max(error, BEST)) - self.mean) / self.scale, 0.0)
        half = (self.freedom + 1) / 2
        peak = math.lgamma(half) - math.lgamma(self.freedom / 2) - math.log(self.freedom * math.pi) / 2
        familiar = peak - half * math.log1p(standard**2 / self.freedom) - math.log(self.scale)
        prior = math.log((1 - self.unfamiliar) / self.unfamiliar)
        return _expit(prior + familiar + math.log(WORST - self.mean))


class ModelDigests(Config):
    """SHA-256 of the files of the models that give evidence."""

    transformers: dict[Direction, Digest]  # each names its tokenizers
    classifiers: dict[Modality, Digest]
    decoders: dict[Modality, Digest]  # that were fine-tuned


class Confidence(Config):
    """The regression of one direction."""

    kind: Literal["confidence"]
    models: ModelDigests
    intercept: Number
    terms: Terms
    familiarity: Familiarity

    def of(self, evidence: Evidence) -> list[float]:
        """The confidence in each of n pairs, in [0, 1]: to the byte the same, whatever the other pairs are."""
        return [self._one(Evidence(*pair)) for pair in zip(*(some.tolist() for some in evidence), strict=True)]

    def _one(self, evidence: Evidence) -> float:
        log_odds = self.intercept
        for name in Terms.model_fields:
            term: Term = getattr(self.terms, name)
            log_odds += term.weight * ((getattr(evidence, name) - term.mean) / term.scale)
        return _expit(log_odds) * self.familiarity.of(float(evidence.source_error))


def _expit(log_odds: float) -> float:
    """The probability of log-odds, however large."""
    odds = math.exp(-abs(log_odds))  # of whichever of the two is less likely
    return (1.0 if log_odds >= 0 else odds) / (1 + odds)


class Confidences(PerDirection[Confidence | None]):
    """The regression of each direction; None where none was fitted to these models."""


NONE = Confidences(audio_to_image=None, image_to_audio=None)


def digests(folder: Path) -> ModelDigests:
    """SHA-256 of the models in a folder."""
    return ModelDigests(
        transformers=_digests({direction: paths.cycle(direction, folder) for direction in DIRECTIONS}),
        classifiers=_digests({modality: paths.classifier(modality, folder) for modality in MODALITIES}),
        decoders=_digests({modality: bundle.decoder_file(modality, folder) for modality in MODALITIES}),
    )


def _digests(places: Mapping[T, Path]) -> dict[T, str]:
    return {one: files.digest(path) for one, path in places.items() if path.is_file()}


def save(path: Path, confidence: Confidence | None) -> None:
    """Write a regression atomically, or that none could be fitted."""
    text = "null" if confidence is None else confidence.model_dump_json(indent=2)
    files.write_bytes(path, f"{text}\n".encode())


def load(folder: Path) -> Confidences:
    """The regressions in a project's `data/` that were fitted to its models. Raises `BadConfidence`."""
    there = {one: path for one in DIRECTIONS if (path := paths.confidence(one, folder)).is_file()}
    own = digests(folder) if there else None
    found = {one: read(path) for one, path in there.items()}
    return NONE.model_copy(update={one: of for one, of in found.items() if of and of.models == own})


def read(path: Path) -> Confidence | None:
    """A regression, or None where none could be fitted. Raises `BadConfidence`, FileNotFoundError."""
    content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    try:
        return TypeAdapter[Confidence | None](Confidence | None).validate_json(content)
    except ValidationError as error:
        raise BadConfidence(path=path, reason=fault(error)) from None
