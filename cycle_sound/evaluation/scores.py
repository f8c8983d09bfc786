"""How good one direction is on a split, with the floor and the ceiling of each figure.

The floor is what the same samples score against shuffled sources, in the mean over all shuffles (of the likelihood:
against one); the ceiling is what real targets score once they have been through the tokenizer alone: no transformer can
do better. Everything that a model does here is done by the engine that people use.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cycle_sound import paths
from cycle_sound.dataset.reader import Split
from cycle_sound.evaluation import metrics
from cycle_sound.evaluation.metrics import Interval
from cycle_sound.inference import bundle
from cycle_sound.inference.engine import Classified, Engine, classified
from cycle_sound.models import classifier
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device
from cycle_sound.params import (
    MODALITIES,
    Direction,
    EvaluateConfig,
    Modality,
    SamplingConfig,
    SamplingConfigs,
    SplitName,
    VocoderConfig,
    opposite_of,
    source_of,
    target_of,
)

QUERIES = 8  # of retrieval at a time, each with as many prefixes as there are targets to rank


class ModalityData(NamedTuple):
    """One modality of a split."""

    modality: Modality
    pictures: Tensor  # (n, c, h, w): real ones
    codes: Tensor  # (n, k, rows, columns)

    def first(self, count: int) -> "ModalityData":
        """At most `count` of them."""
        return self._replace(pictures=self.pictures[:count], codes=self.codes[:count])


class DirectionModels(NamedTuple):
    """One direction on a split: the engine, how both directions draw, and the pairs."""

    engine: Engine
    direction: Direction
    forward_sampling: SamplingConfig
    backward_sampling: SamplingConfig
    source: ModalityData
    target: ModalityData
    labels: list[str]  # "": none
    ids: list[str]
    attributes: list[dict[str, float]]
    judges: dict[Modality, Classifier | None]  # by which nothing is chosen; None: the data had no labels

    @property
    def classifiers(self) -> dict[Modality, Classifier | None]:
        """The engine's own, by which settings are chosen."""
        return self.engine.models.classifiers

    def first(self, count: int) -> "DirectionModels":
        """At most `count` of the pairs."""
        return self._replace(
            source=self.source.first(count),
            target=self.target.first(count),
            labels=self.labels[:count],
            ids=self.ids[:count],
            attributes=self.attributes[:count],
        )

    def go_back(self, pictures: Tensor, seed: int) -> Tensor:
        """Source pictures that the direction back makes of targets as they are perceived, themselves as perceived."""
        back = opposite_of(self.direction)
        returned = self.engine.generate(back, pictures, seed, 1, self.backward_sampling)
        return self.engine.as_perceived(self.source.modality, returned)


def load(direction: Direction, split: SplitName, sampling: SamplingConfigs, vocoder: VocoderConfig) -> DirectionModels:
    """A direction on a split with its models. Raises `MixedModels` where they do not belong together."""
    engine = Engine(bundle.load(paths.DATA, vocoder, device.best()))
    judges = {modality: classifier.load(paths.judge(modality)) for modality in MODALITIES}
    pairs = Split(paths.SHARDS, split)

    def data(modality: Modality) -> ModalityData:
        pictures = pairs.pictures(modality, range(len(pairs)))
        return ModalityData(modality, pictures, engine.encode(modality, pictures))

    forward, backward = sampling[direction], sampling[opposite_of(direction)]
    source, target = data(source_of(direction)), data(target_of(direction))
    return DirectionModels(
        engine,
        direction,
        forward,
        backward,
        source,
        target,
        list(pairs.labels),
        list(pairs.ids),
        list(pairs.attributes),
        {modality: judge and judge.to(device.best()) for modality, judge in judges.items()},
    )


class Generated(NamedTuple):
    """What a direction made of every source, what the other direction made of that, and what the tokenizer leaves."""

    samples: Tensor  # (n, m, c, h, w): target pictures, m candidates per source
    pointwise_mutual_information: Tensor  # (n, m), nats: by how much a candidate makes its source likelier
    waveforms: np.ndarray  # (n, samples) of the first candidates; of pictures none
    perceived: Tensor  # (n, c, h, w), of the first candidates
    returned: Tensor  # source pictures (n, c, h, w) as perceived, from the first candidates as perceived
    tokenized: Tensor  # (n, c, h, w): real targets through the tokenizer alone

    @property
    def first(self) -> Tensor:
        """The first candidate of every source, which is what is drawn alone: (n, c, h, w)."""
        return self.samples[:, 0]


def generate(models: DirectionModels, candidates: int, seed: int) -> Generated:
    """Generate so many targets for every source, and go back from the first."""
    engine, target = models.engine, models.target.modality
    samples, information = draw(models, models.forward_sampling, candidates, seed)
    heard = target == "audio"
    waveforms = engine.waveforms(samples[:, 0]) if heard else np.empty((0, 0), np.float32)
    perceived = engine.log_mels(waveforms) if heard else engine.as_perceived("image", samples[:, 0])
    tokenized = engine.decode(target, models.target.codes)
    return Generated(samples, information, waveforms, perceived, models.go_back(perceived, seed), tokenized)


def draw(models: DirectionModels, sampling: SamplingConfig, candidates: int, seed: int) -> tuple[Tensor, Tensor]:
    """Target pictures of every source and their pointwise mutual information: (n, m, c, h, w), (n, m) nats."""
    engine, direction, sources = models.engine, models.direction, models.source.pictures
    codes = engine.draw(direction, sources, seed, candidates, sampling)
    pictures = engine.decode(models.target.modality, codes.flatten(0, 1))
    information = engine.pointwise_mutual_information(direction, sources, pictures)
    return pictures.unflatten(0, (-1, candidates)), information.unflatten(0, (-1, candidates))


def named(name: str, interval: Interval) -> dict[str, float]:
    """A figure with its 95 % interval, flat."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def agreement(found: list[str], wanted: list[str]) -> Interval:
    """Fraction of equal labels."""
    return metrics.wilson(sum(a == b for a, b in zip(found, wanted, strict=True)), len(found))


def likelihood(models: DirectionModels) -> dict[str, float]:
    """Cross-entropy of the real targets in nats per code, given their own sources and given shuffled ones."""
    prefixes = models.engine.prefixes(models.direction, models.source.pictures)
    wrong = prefixes.roll(len(prefixes) // 2, dims=0)  # pairs stand in shuffled order
    codes = models.target.codes
    return {
        name: float(-models.engine.log_likelihood(models.direction, given, codes).mean()) / codes[0].numel()
        for name, given in (("cross_entropy", prefixes), ("cross_entropy_shuffled", wrong))
    }


def retrieval(models: DirectionModels, config: EvaluateConfig) -> dict[str, float]:
    """Recall of a source's own target among `retrieval_pool` targets.

    Targets are ranked by log p(target | source) − log p(target | null): without the second term, the targets that are
    likely under any source would win.
    """
    engine, direction, codes = models.engine, models.direction, models.target.codes
    pool, queries = min(config.retrieval_pool, len(codes)), min(config.retrieval_queries, len(codes))
    null = engine.log_likelihood(direction, engine.null_prefixes(direction, len(codes)), codes)
    prefixes = engine.prefixes(direction, models.source.pictures[:queries])
    ranks: list[int] = []
    for some in torch.arange(queries).split(QUERIES):
        rows = (some[:, None] + torch.arange(pool)) % len(codes)  # (queries, pool), a query's own target first
        given = prefixes[some].repeat_interleave(pool, dim=0)
        scores = engine.log_likelihood(direction, given, codes[rows.flatten()]).view_as(rows) - null[rows]
        ranks += (scores > scores[:, :1]).sum(1).tolist()
    chance = {f"recall_at_{k}_floor": min(k / pool, 1.0) for k in (1, 5)}
    hits = {k: metrics.wilson(sum(rank < k for rank in ranks), queries) for k in (1, 5)}
    return {**named("recall_at_1", hits[1]), **named("recall_at_5", hits[5]), **chance}


def labelled(models: DirectionModels, model: Classifier | None) -> list[int]:
    """The pairs whose label a classifier knows; none without one."""
    return [row for row, label in enumerate(models.labels) if model and label in model.labels]


def shares(name: str, found: list[str], labels: list[str]) -> dict[str, float]:
    """Fraction of the labels found that are the pairs' own, with its interval and its floor."""
    return {**named(name, agreement(found, labels)), f"{name}_floor": metrics.chance_agreement(found, labels)}


def classes(models: DirectionModels, generated: Generated) -> dict[str, float]:
    """What the target's classifier says of what was generated. Empty where it knows fewer than two of the pairs."""
    model = models.classifiers[models.target.modality]
    rows = labelled(models, model)
    if model is None or len(rows) < 2:
        return {}
    labels = [models.labels[row] for row in rows]
    real = classified(model, models.target.pictures[rows])
    tokenized = classified(model, generated.tokenized[rows])
    first, *others = (classified(model, pictures) for pictures in generated.samples[rows, :2].unbind(1))
    return {
        **shares("class_consistency", first.labels, labels),
        "class_consistency_ceiling": agreement(tokenized.labels, labels).value,
        "classifier_accuracy": agreement(real.labels, labels).value,
        "frechet_distance": metrics.frechet_distance(first.features, real.features),
        "frechet_distance_ceiling": metrics.frechet_distance(tokenized.features, real.features),
        **(diversity(first, others[0], real, labels) if others else {}),
    }


def judged(models: DirectionModels, generated: Generated) -> dict[str, float]:
    """What the target's judge says of what was generated. Empty where it knows none of the pairs."""
    judge = models.judges[models.target.modality]
    rows = labelled(models, judge)
    if judge is None or not rows:
        return {}
    labels = [models.labels[row] for row in rows]
    tokenized = classified(judge, generated.tokenized[rows])
    return {
        **shares("class_consistency_judge", classified(judge, generated.first[rows]).labels, labels),
        "class_consistency_judge_ceiling": agreement(tokenized.labels, labels).value,
        "judge_accuracy": agreement(classified(judge, models.target.pictures[rows]).labels, labels).value,
    }


def diversity(first: Classified, second: Classified, real: Classified, labels: list[str]) -> dict[str, float]:
    """Mean feature distance between two samples of one source, over that of two real targets of one label."""
    between = np.linalg.norm(first.features - second.features, axis=1).mean()
    groups = [real.features[[other == label for other in labels]] for label in sorted(set(labels))]
    within = [metrics.pairwise_distance(group) for group in groups if len(group) > 1]
    return {"diversity": float(between / np.mean(within))} if within else {}


def consistency(name: str, models: DirectionModels, model: Classifier | None, pictures: Tensor) -> dict[str, float]:
    """Fraction of pictures (n, c, h, w) that a classifier gives their pair's label, with its floor.

    Empty where it knows none of the labels.
    """
    rows = labelled(models, model)
    if model is None or not rows:
        return {}
    return shares(name, classified(model, pictures[rows]).labels, [models.labels[row] for row in rows])


def figures(models: DirectionModels, generated: Generated, config: EvaluateConfig) -> dict[str, float]:
    """All figures of a direction that ask a model: likelihood, retrieval, classes, the cycle."""
    return {
        "pairs": len(models.labels),
        **likelihood(models),
        **retrieval(models, config),
        **classes(models, generated),
        **judged(models, generated),
        **consistency("cycle_consistency", models, models.classifiers[models.source.modality], generated.returned),
    }


def one_of_each(labels: list[str], count: int) -> list[int]:
    """Rows of `count` pairs, the labels in turn."""
    seen: dict[str, int] = {}
    turns = []
    for row, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, row))
    return [row for _, _, row in sorted(turns)[:count]]
