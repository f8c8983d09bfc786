"""How good one direction is on the test split, with the floor and the ceiling of each figure.

The floor is what the same samples score against shuffled sources; the ceiling is what real targets score once they
have been through the tokenizer alone: no transformer can do better.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound import checkpoint, classifier, device, dvae, files, metrics, paths, transformer
from cycle_sound.batches import seeded
from cycle_sound.classifier import Classifier
from cycle_sound.dvae import DiscreteVAE
from cycle_sound.metrics import Interval
from cycle_sound.params import Direction, Evaluate, Modality, Sampling, Samplings, opposite_of, source_of, target_of
from cycle_sound.sampling import generate, log_likelihood
from cycle_sound.shards import Split, SplitName
from cycle_sound.tokens import TokenCache
from cycle_sound.transformer import Transformer

BATCH = 100  # pairs at a time


def parts(values: Tensor, model: nn.Module) -> Iterator[Tensor]:
    """Values (n, …) in batches, where the model computes."""
    return (part.to(device.of(model)) for part in values.split(BATCH))


class Side(NamedTuple):
    """One modality of a split, with its models."""

    modality: Modality
    pictures: Tensor  # (n, c, h, w): real ones
    tokens: Tensor  # (n, rows, columns)
    vae: DiscreteVAE
    judge: Classifier | None  # None: the data has no labels

    def first(self, count: int) -> "Side":
        """The same with so many pairs at most."""
        return self._replace(pictures=self.pictures[:count], tokens=self.tokens[:count])

    def decoded(self, tokens: Tensor) -> Tensor:
        """Pictures of tokens, in batches: (n, rows, columns) → (n, c, h, w)."""
        with torch.inference_mode():
            return torch.cat([self.vae.decode(part).cpu() for part in parts(tokens, self.vae)])


class Judged(NamedTuple):
    """What a classifier says of pictures."""

    labels: list[str]
    features: np.ndarray  # (n, d)


class Way(NamedTuple):
    """One direction of a split, and the direction back."""

    forward: Transformer
    back: Transformer
    there: Sampling  # how `forward` draws
    home: Sampling  # how `back` draws
    source: Side
    target: Side
    labels: list[str]

    def first(self, count: int) -> "Way":
        """The same with so many pairs at most."""
        source, target = self.source.first(count), self.target.first(count)
        return self._replace(source=source, target=target, labels=self.labels[:count])


def load(direction: Direction, split: SplitName, sampling: Samplings) -> Way:
    """A direction of a split with its models. Raises `StaleTokens` where they do not belong together."""
    pairs = Split(paths.SHARDS, split)
    source, target = (_side(modality, pairs, split) for modality in (source_of(direction), target_of(direction)))
    forward, back = (
        transformer.load(paths.transformer(way)).to(device.best()) for way in (direction, opposite_of(direction))
    )
    there, home = sampling[direction], sampling[opposite_of(direction)]
    return Way(forward, back, there, home, source, target, pairs.labels)


def _side(modality: Modality, pairs: Split, split: SplitName) -> Side:
    path = paths.vae(modality)
    digest = checkpoint.facts(path, dvae.KIND)["shards"]
    cache = TokenCache(paths.tokens(modality), split, files.digest(path), digest)
    rows = torch.arange(len(pairs))
    tokens = cache.most_likely(rows).unflatten(1, cache.header.grid)
    judge = classifier.load(paths.classifier(modality))
    vae, judge = dvae.load(path).to(device.best()), judge and judge.to(device.best())
    return Side(modality, pairs.pictures(modality, rows.tolist()), tokens, vae, judge)


def judged(judge: Classifier, pictures: Tensor) -> Judged:
    """Labels and features of pictures: (n, c, h, w)."""
    with torch.inference_mode():
        features = torch.cat([judge.features(part) for part in parts(pictures, judge)])
        labels = [judge.labels[index] for index in judge.head(features).argmax(1).tolist()]
    return Judged(labels, features.cpu().numpy())


def sampled(model: Transformer, grids: Tensor, config: Sampling, seed: int) -> Tensor:
    """Tokens generated for source grids, in batches: (n, …) → (n, rows, columns)."""
    drawn = [
        generate(model, part, config, seeded(seed, number, device=part.device))
        for number, part in enumerate(parts(grids, model))
    ]
    return torch.cat(drawn).cpu()


class Generated(NamedTuple):
    """What a direction made of every test source, and what the other direction made of that."""

    tokens: Tensor  # (n, rows, columns), of the first repeat
    samples: list[Tensor]  # per repeat, target pictures (n, c, h, w)
    returned: Tensor  # source pictures (n, c, h, w), from the first repeat


def grids_of(model: Transformer, pictures: Tensor, tokens: Tensor) -> Tensor:
    """What a transformer reads of a source: its pictures or its tokens, by its condition."""
    return pictures if model.config.condition == "encoder" else tokens


def generated(way: Way, repeats: int, seed: int) -> Generated:
    """Sample `repeats` targets for every source, and go back from the first."""
    grids = grids_of(way.forward, way.source.pictures, way.source.tokens)
    drawn = [sampled(way.forward, grids, way.there, seed + repeat) for repeat in range(repeats)]
    samples = [way.target.decoded(tokens) for tokens in drawn]
    returned = sampled(way.back, grids_of(way.back, samples[0], drawn[0]), way.home, seed)
    return Generated(drawn[0], samples, way.source.decoded(returned))


def named(name: str, interval: Interval) -> dict[str, float]:
    """A figure with its 95 % interval, flat."""
    return {name: interval.share, f"{name}_low": interval.low, f"{name}_high": interval.high}


def agreement(found: list[str], wanted: list[str]) -> Interval:
    """Share of equal labels."""
    return metrics.wilson(sum(a == b for a, b in zip(found, wanted, strict=True)), len(found))


def likelihood(model: Transformer, grids: Tensor, tokens: Tensor) -> dict[str, float]:
    """Cross-entropy of the real targets in nats per token, given their own sources and given shuffled ones."""
    with torch.inference_mode():
        prefixes = torch.cat([model.encode_source(part) for part in parts(grids, model)])
        wrong = prefixes.roll(len(prefixes) // 2, dims=0)  # test pairs stand in shuffled order
        figures = {}
        for name, given in (("cross_entropy", prefixes), ("cross_entropy_shuffled", wrong)):
            pairs = zip(parts(given, model), parts(tokens.flatten(1), model), strict=True)
            nats = torch.cat([-log_likelihood(model, *pair) for pair in pairs]) / model.tokens
            figures[name] = float(nats.mean())
    return figures


def retrieval(model: Transformer, grids: Tensor, tokens: Tensor, config: Evaluate) -> dict[str, float]:
    """Recall of a source's own target among `candidates` test targets.

    Targets are ranked by log p(target | source) − log p(target | null): without the second term, the targets that are
    likely under any source would win.
    """
    pool = min(config.candidates, len(tokens))
    queries = min(config.queries, len(tokens))
    grids, flat = grids.to(device.of(model)), tokens.flatten(1).to(device.of(model))
    ranks = []
    with torch.inference_mode():
        null = torch.cat([log_likelihood(model, model.null_prefix(len(part)), part) for part in flat.split(BATCH)])
        for query in range(queries):
            rows = torch.arange(query, query + pool) % len(tokens)  # its own target first
            prefix = model.encode_source(grids[query : query + 1]).expand(pool, -1, -1)
            scores = log_likelihood(model, prefix, flat[rows]) - null[rows]
            ranks.append(int((scores > scores[0]).sum()))
    chance = {f"recall_at_{k}_floor": min(k / pool, 1.0) for k in (1, 5)}
    hits = {k: metrics.wilson(sum(rank < k for rank in ranks), queries) for k in (1, 5)}
    return {**named("recall_at_1", hits[1]), **named("recall_at_5", hits[5]), **chance}


def classes(target: Side, samples: list[Tensor], wanted: list[str]) -> dict[str, float]:
    """What the target's classifier says of the generated pictures, `samples[repeat]` (n, c, h, w).

    Only pairs whose label the classifier knows count. Empty without a classifier.
    """
    judge = target.judge
    known = [row for row, label in enumerate(wanted) if judge is not None and label in judge.labels]
    if judge is None or len(known) < 2:
        return {}
    labels = [wanted[row] for row in known]
    real = judged(judge, target.pictures[known])
    tokenized = judged(judge, target.decoded(target.tokens[known]))
    made = [judged(judge, pictures[known]) for pictures in samples]
    return {
        **named("class_consistency", agreement(made[0].labels, labels)),
        "class_consistency_floor": agreement(made[0].labels, metrics.shuffled(labels)).share,
        "class_consistency_ceiling": agreement(tokenized.labels, labels).share,
        "classifier_accuracy": agreement(real.labels, labels).share,
        "frechet_distance": metrics.frechet_distance(made[0].features, real.features),
        "frechet_distance_ceiling": metrics.frechet_distance(tokenized.features, real.features),
        **diversity(made, real, labels),
    }


def diversity(made: list[Judged], real: Judged, labels: list[str]) -> dict[str, float]:
    """Mean feature distance between two samples of one source, over that of two real targets of one label."""
    if len(made) < 2:
        return {}
    between = np.linalg.norm(made[0].features - made[1].features, axis=1).mean()
    groups = [real.features[[other == label for other in labels]] for label in sorted(set(labels))]
    within = [metrics.pairwise_distance(group) for group in groups if len(group) > 1]
    return {"diversity": float(between / np.mean(within))} if within else {}


def consistency(name: str, side: Side, pictures: Tensor, wanted: list[str]) -> dict[str, float]:
    """Share of pictures (n, c, h, w) that the side's classifier calls what they should be, and that share's floor.

    Only labels that the classifier knows count. Empty without a classifier.
    """
    judge = side.judge
    known = [row for row, label in enumerate(wanted) if judge is not None and label in judge.labels]
    if judge is None or not known:
        return {}
    labels = [wanted[row] for row in known]
    found = judged(judge, pictures[known]).labels
    return {**named(name, agreement(found, labels)), f"{name}_floor": agreement(found, metrics.shuffled(labels)).share}


def figures(way: Way, made: Generated, config: Evaluate) -> dict[str, float]:
    """All figures of a direction that ask a model: likelihood, retrieval, classes, the cycle."""
    grids = grids_of(way.forward, way.source.pictures, way.source.tokens)
    return {
        "pairs": len(way.labels),
        **likelihood(way.forward, grids, way.target.tokens),
        **retrieval(way.forward, grids, way.target.tokens, config),
        **classes(way.target, made.samples, way.labels),
        **consistency("cycle_consistency", way.source, made.returned, way.labels),
    }


def one_of_each(labels: list[str], count: int) -> list[int]:
    """Rows of `count` pairs, the labels in turn."""
    seen: dict[str, int] = {}
    turns = []
    for row, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, row))
    return [row for _, _, row in sorted(turns)[:count]]
