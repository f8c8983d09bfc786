"""What a transformer is trained for: the target's tokens given the source, and sources near their own targets.

What it learns from are pairs, and beside them perhaps targets without partners, for which a model drew the sources
(back-translation: Sennrich et al. 2016, arXiv:1511.06709): the target side is always real.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.dataset import augment
from cycle_sound.dataset.drawn_cache import DrawnCache
from cycle_sound.dataset.feature_cache import FeatureCache
from cycle_sound.dataset.pairing import Pairing
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Transformer
from cycle_sound.nn import device
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import AugmentConfig, Direction, Modality, source_of, target_of
from cycle_sound.training import prefetch, validation

DRAWN = 0  # number of the random numbers by which drawn sources are augmented


class SplitInputs(NamedTuple):
    """One split as a transformer sees it: pictures and tokens of source and target, and the source's features."""

    pictures: Split
    source: TokenCache
    target: TokenCache
    features: FeatureCache | None  # None: none are read
    pairing: Pairing | None = None  # which clips are learned from as pairs; None: all


class Batch(NamedTuple):
    """What a step learns from."""

    source_inputs: Tensor  # (b, c, h, w) or (b, k or channels, rows, columns): what the model reads of the sources
    codes: Tensor  # (b, k, t): of the targets
    pictures: Tensor  # (b, c, h, w): the targets themselves
    known: Tensor  # (b,) bool: whether the source belongs to the target; any other one counts as none
    clips: Tensor  # (b,) int64: the row of a pair's clip; of a target without a partner another number, below 0


class AugmentedPairs:
    """A `Source`: sources and targets of pairs, both augmented."""

    def __init__(
        self,
        inputs: SplitInputs,
        direction: Direction,
        condition: Literal["encoder", "tokens", "features"],
        source_codes: CodeShape,
        augments: AugmentConfig,
    ) -> None:
        self._inputs, self._condition, self._source_codes, self._augments = inputs, condition, source_codes, augments
        self._source, self._target = source_of(direction), target_of(direction)

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""
        return len(self._inputs.target if self._inputs.pairing is None else self._inputs.pairing)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """What the transformer reads of the sources, as its condition says, and the targets.

        `rows`: places among the pairs to learn from.
        """
        if self._inputs.pairing is not None:
            rows = self._inputs.pairing.rows(rows)
        codes = self._inputs.target.draw(rows, rng)
        pictures = self._pictures(self._target, rows, rng)
        return Batch(self._source_inputs(rows, rng), codes, pictures, torch.ones(len(rows), dtype=torch.bool), rows)

    def source_inputs(self, rows: Tensor, rng: BatchRng) -> Tensor:
        """What the transformer reads of the sources alone."""
        return self._source_inputs(rows if self._inputs.pairing is None else self._inputs.pairing.rows(rows), rng)

    def _source_inputs(self, rows: Tensor, rng: BatchRng) -> Tensor:
        if self._condition == "encoder":
            return self._pictures(self._source, rows, rng)
        if self._inputs.features is not None:
            return self._inputs.features.draw(rows, rng)
        return gridded(self._inputs.source.draw(rows, rng), self._source_codes)

    def _pictures(self, modality: Modality, rows: Tensor, rng: BatchRng) -> Tensor:
        return augmented(self._inputs.pictures.pictures(modality, rows.tolist()), modality, self._augments, rng)


class LoneInputs(NamedTuple):
    """Targets without partners, and what was drawn for them."""

    pictures: Split
    target: TokenCache
    drawn: DrawnCache | None  # their sources; None: none were drawn
    believed: Tensor  # (n,) bool: the targets whose sources are learned from; the others stand without one


class AugmentedTargets:
    """A `Source`: targets without partners, with the drawn sources that are believed, all augmented as pairs are.

    Where there is none to believe, the source of a pair stands in: it counts as none, but is part of the encoder's
    batch statistics, which blanks would move away from those of sources.
    """

    def __init__(
        self,
        inputs: LoneInputs,
        pairs: AugmentedPairs,
        direction: Direction,
        condition: Literal["encoder", "tokens", "features"],
        augments: AugmentConfig,
    ) -> None:
        self._inputs, self._pairs, self._condition, self._augments = inputs, pairs, condition, augments
        self._source, self._target = source_of(direction), target_of(direction)

    @property
    def pairs(self) -> int:
        """Targets to learn from."""
        return len(self._inputs.target)

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """Targets, and of those that are believed what was drawn; of the others a stand-in."""
        codes = self._inputs.target.draw(rows, rng)
        pictures = self._inputs.pictures.pictures(self._target, rows.tolist())
        pictures, known = augmented(pictures, self._target, self._augments, rng), self._inputs.believed[rows]
        apart = rng.fold_in(DRAWN)  # of_rows starts again: a source would be shifted and degraded as its target is
        return Batch(self._source_inputs(rows, known, apart), codes, pictures, known, -1 - rows)

    def _source_inputs(self, rows: Tensor, known: Tensor, rng: BatchRng) -> Tensor:
        places = known.nonzero()[:, 0], (~known).nonzero()[:, 0]
        parts = [
            read(rows[some], rng.of_rows(some.tolist()))
            for read, some in zip((self._drawn, self._stand_ins), places, strict=True)
            if len(some)
        ]
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _drawn(self, rows: Tensor, rng: BatchRng) -> Tensor:
        assert self._inputs.drawn is not None
        drawn = self._inputs.drawn.sources(rows)
        return augmented(drawn, self._source, self._augments, rng) if self._condition == "encoder" else drawn

    def _stand_ins(self, rows: Tensor, rng: BatchRng) -> Tensor:
        return self._pairs.source_inputs(rows % self._pairs.pairs, rng)


class Mixture:
    """A `Source`: the examples of two others, so many of the second that they are a share of all, in the mean.

    Each of them comes at least once an epoch, and those of one source equally often, or once more.
    """

    def __init__(self, first: prefetch.Source, second: prefetch.Source, share: float) -> None:
        """`share` of the second, above 0 and below 1."""
        self._sources = first, second
        self.pairs = ceil(max(first.pairs / (1 - share), second.pairs / share))
        self._first = self.pairs - round(self.pairs * share)  # places of an epoch

    def batch(self, rows: Tensor, rng: BatchRng) -> Any:
        """Each row as its own source makes it, alone or among others."""
        second = rows >= self._first
        places = [(~second).nonzero()[:, 0], second.nonzero()[:, 0]]
        starts = 0, self._first
        parts = [
            source.batch((rows[some] - start) % source.pairs, rng.of_rows(some.tolist()))
            for source, some, start in zip(self._sources, places, starts, strict=True)
            if len(some)
        ]
        order = torch.cat(places).argsort()
        return type(parts[0])(*(torch.cat(columns)[order] for columns in zip(*parts, strict=True)))


def mixed(pairs: prefetch.Source, others: prefetch.Source | None, share: float) -> prefetch.Source:
    """Pairs, of which others take the place of a share; those alone where there are no others, or all are."""
    if others is None or share == 0:
        return pairs
    return others if share == 1 else Mixture(pairs, others, share)


def augmented(pictures: Tensor, modality: Modality, augments: AugmentConfig, rng: BatchRng) -> Tensor:
    """Pictures of a modality shifted and degraded: (b, c, h, w) → (b, c, h, w)."""
    return augment.degrade(augment.shifted(pictures, augments[modality], rng), augments.degradation, rng)


def gridded(codes: Tensor, shape: CodeShape) -> Tensor:
    """Codes in their grid: (b, k, t) → (b, k, rows, columns)."""
    return codes.unflatten(2, (shape.rows, shape.columns))


class TransformerObjective:
    """Cross-entropy, plus alignment × its weight, plus the reconstruction error through the VAE × its weight.

    `decode` makes pictures of weighted codes (b, k, rows, columns, v), as the target's tokenizer does; without it no
    reconstruction error is computed.
    """

    def __init__(
        self,
        model: Transformer,
        direction: Direction,
        train: prefetch.Source,
        valid: SplitInputs,
        validation_pairs: int,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.train, self.valid = model, train, valid
        self.source = source_of(direction)
        self.validation_pairs = validation_pairs
        self.decode = decode

    def loss(self, batch: Batch, _step: int, rng: BatchRng) -> Mapping[str, Tensor]:
        """Terms of one step, in nats; the reconstruction error per pixel."""
        config, codes = self.model.config, batch.codes
        losses = self.model.losses(batch.source_inputs, codes, batch.pictures, rng, batch.known, batch.clips)
        terms = {"cross_entropy": losses.cross_entropy, "alignment": losses.alignment}
        loss = losses.cross_entropy + config.alignment_weight * losses.alignment
        if self.decode is not None:
            terms["reconstruction"] = self._reconstruction(losses.logits, codes, self.decode)
            loss = loss + config.reconstruction_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy on valid, in nats per code, with the right sources and with shifted ones (the floor).

        Sources are shifted within parts of `validation.BATCH` pairs; of one pair there is no floor.
        """
        assert isinstance(model, Transformer)
        where, alone = device.of(model), min(len(self.valid.target), self.validation_pairs) == 1

        def encoded(rows: Tensor) -> Tensor:
            return model.encode_source(self._source_inputs(rows).to(where))

        def measure(batch: range) -> Mapping[str, np.ndarray]:
            rows = torch.tensor(batch)
            codes = self.valid.target.most_likely(rows).to(where)
            with device.autocast(where):
                given = {"loss": encoded(rows)}
                if not alone:  # a last part of one row takes the source of row 0
                    given["shuffled"] = given["loss"].roll(1, dims=0) if len(rows) > 1 else encoded(rows * 0)
                losses = {name: -model.log_likelihood(one, codes) / codes[0].numel() for name, one in given.items()}
            return {name: values.cpu().double().numpy() for name, values in losses.items()}

        found = validation.measured(len(self.valid.target), self.validation_pairs, measure)
        return {name: float(values.mean()) for name, values in found.items()}

    def _source_inputs(self, rows: Tensor) -> Tensor:
        """What the model reads of the sources of valid, as they are."""
        if self.model.config.condition == "encoder":
            return self.valid.pictures.pictures(self.source, rows.tolist())
        if self.valid.features is not None:
            return self.valid.features.plain(rows)
        return gridded(self.valid.source.most_likely(rows), self.model.shapes.source_codes)

    def _reconstruction(self, logits: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Squared error between the pictures of the predicted codes, straight-through, and of the true ones."""
        soft = F.softmax(logits.float(), dim=-1)  # (b, k, t, v)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype) + soft - soft.detach()
        true = F.one_hot(codes, soft.shape[-1]).to(soft.dtype)
        shape = self.model.shapes.target_codes
        grid = (shape.rows, shape.columns)
        with torch.no_grad():
            wanted = decode(true.unflatten(2, grid))
        return F.mse_loss(decode(hard.unflatten(2, grid)), wanted)
