"""One direction on a split: its models, some of its pairs, and what it generates of them.

Nothing holds a whole split. What becomes of a pair depends neither on the others that are taken with it nor on the
process that takes it: the engine sees to that.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from cycle_sound import paths
from cycle_sound.dataset.reader import Split
from cycle_sound.inference import bundle
from cycle_sound.inference.engine import Drawing, Engine, best
from cycle_sound.inference.fixed_batches import size_for
from cycle_sound.models import classifier
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device
from cycle_sound.params import (
    MODALITIES,
    Direction,
    Modality,
    SamplingConfig,
    SamplingConfigs,
    SplitName,
    VocoderConfig,
    opposite_of,
    source_of,
    target_of,
)


class Pairs(NamedTuple):
    """Some pairs of a split."""

    source: Tensor  # (b, c, h, w): real pictures
    target: Tensor  # (b, c, h, w): real pictures
    codes: Tensor  # (b, k, rows, columns), of the targets


class DirectionModels(NamedTuple):
    """One direction on a split: the engine, how both directions draw, and where the pairs are."""

    engine: Engine
    direction: Direction
    forward_sampling: SamplingConfig
    backward_sampling: SamplingConfig
    split: Split
    judges: dict[Modality, Classifier | None]  # by which nothing is chosen; None: the data had fewer than two labels

    @property
    def source(self) -> Modality:
        """What the direction starts from."""
        return source_of(self.direction)

    @property
    def target(self) -> Modality:
        """What the direction generates."""
        return target_of(self.direction)

    @property
    def classifiers(self) -> dict[Modality, Classifier | None]:
        """The engine's own, by which settings are chosen."""
        return self.engine.models.classifiers

    @property
    def batch(self) -> int:
        """Pairs that are best taken at a time."""
        return size_for(self.engine.models.device)

    def sources(self, rows: Iterable[int]) -> Tensor:
        """The source pictures of pairs: (b, c, h, w)."""
        return self.split.pictures(self.source, rows)

    def codes(self, rows: Iterable[int]) -> Tensor:
        """The codes of the targets of pairs: (b, k, rows, columns)."""
        return self.engine.encode(self.target, self.split.pictures(self.target, rows))

    def pairs(self, rows: Iterable[int]) -> Pairs:
        """Some pairs, at least one."""
        chosen = list(rows)
        target = self.split.pictures(self.target, chosen)
        return Pairs(self.sources(chosen), target, self.engine.encode(self.target, target))

    def go_back(self, pictures: Tensor, seed: int) -> Tensor:
        """Source pictures that the opposite direction generates from perceived targets, as they are perceived.

        One is drawn of each: among several, this direction would choose what it is to be judged by.
        """
        back, once = opposite_of(self.direction), self.backward_sampling.model_copy(update={"candidates": 1})
        returned = self.engine.generate(back, pictures, Drawing(once, seed))
        return self.engine.as_perceived(self.source, returned)


def load(direction: Direction, split: SplitName, sampling: SamplingConfigs, vocoder: VocoderConfig) -> DirectionModels:
    """A direction on a split with its models. Raises `MixedModels` where they do not belong together."""
    engine = Engine(bundle.load(paths.DATA, vocoder, device.best()))
    judges = {modality: classifier.load(paths.judge(modality)) for modality in MODALITIES}
    return DirectionModels(
        engine,
        direction,
        sampling[direction],
        sampling[opposite_of(direction)],
        Split(paths.SHARDS, split),
        {modality: judge and judge.to(device.best()) for modality, judge in judges.items()},
    )


class Generated(NamedTuple):
    """What a direction made of pairs' sources, what the other direction made of that, and what the tokenizer leaves."""

    candidates: Tensor  # (b, m, c, h, w): target pictures, m for each source
    scores: Tensor  # (b, m), nats: by how much a candidate makes its source likelier
    kept: Tensor  # (b, c, h, w): the best of as many as `sampling` draws, which is what the direction makes
    kept_scores: Tensor  # (b,), nats
    waveforms: np.ndarray  # (b, samples) of those kept; of pictures (b, 0)
    perceived: Tensor  # (b, c, h, w), of those kept
    returned: Tensor  # source pictures (b, c, h, w) as perceived, from those kept as perceived
    tokenized: Tensor  # (b, c, h, w): real targets through the tokenizer alone


def generate(models: DirectionModels, pairs: Pairs, candidates: int, seed: int) -> Generated:
    """Generate a target for every source, and go back from it; at least so many candidates are drawn of each."""
    engine, target, own = models.engine, models.target, models.forward_sampling.candidates
    sampling = models.forward_sampling.model_copy(update={"candidates": max(candidates, own)})
    drawn, scores = engine.candidates(models.direction, pairs.source, Drawing(sampling, seed))
    kept, heard = best(drawn[:, :own], scores[:, :own]), target == "audio"
    waveforms = engine.waveforms(kept) if heard else np.empty((len(kept), 0), np.float32)
    perceived = engine.log_mels(waveforms) if heard else engine.as_perceived("image", kept)
    returned, tokenized = models.go_back(perceived, seed), engine.decode(target, pairs.codes)
    return Generated(drawn, scores, kept, scores[:, :own].amax(1), waveforms, perceived, returned, tokenized)
