"""What a transformer is trained for: the target's tokens given the source, and sources near their own targets."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import batches, device
from cycle_sound.batches import Draws
from cycle_sound.params import Augments, Direction, Modality, source_of, target_of
from cycle_sound.shards import Split
from cycle_sound.tokens import TokenCache
from cycle_sound.transformer import Transformer


class Side(NamedTuple):
    """One split as a transformer sees it: both sides' pictures and tokens."""

    pictures: Split
    source: TokenCache
    target: TokenCache


class Batch(NamedTuple):
    """What a step learns from."""

    grids: Tensor  # (b, c, h, w) or (b, rows, columns): what the model reads of the sources
    tokens: Tensor  # (b, t): of the targets
    pictures: Tensor  # (b, c, h, w): the targets themselves


class TransformerObjective:
    """Cross-entropy, plus alignment × its weight, plus the reconstruction error through the VAE × its weight.

    `decode` is the target VAE's way from weighted codes (b, rows, columns, v) to pictures; without it no
    reconstruction error is computed.
    """

    def __init__(
        self,
        model: Transformer,
        direction: Direction,
        sides: tuple[Side, Side],
        augments: Augments,
        seed: int,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.source, self.target = source_of(direction), target_of(direction)
        self.train, self.valid = sides
        self.augments = augments
        self.seed = seed
        self.decode = decode

    @property
    def pairs(self) -> int:
        """Pairs to learn from."""
        return len(self.train.target)

    def batch(self, rows: Tensor, draws: Draws) -> Batch:
        """Sources and targets of training pairs, both augmented."""
        tokens = self.train.target.drawn(rows, draws)
        pictures = self._augmented(self.target, rows, draws)
        if self.model.config.condition == "encoder":
            return Batch(self._augmented(self.source, rows, draws), tokens, pictures)
        return Batch(self._grid(self.train.source.drawn(rows, draws)), tokens, pictures)

    def loss(self, batch: Batch, _step: int, draws: Draws) -> Mapping[str, Tensor]:
        """Terms of one step, in nats; the reconstruction error per pixel."""
        config, tokens = self.model.config, batch.tokens
        made = self.model.losses(batch.grids, tokens, batch.pictures, draws)
        terms = {"cross_entropy": made.cross_entropy, "alignment": made.alignment}
        loss = made.cross_entropy + config.alignment_weight * made.alignment
        if self.decode is not None:
            terms["reconstruction"] = self._reconstruction(made.logits, tokens, self.decode)
            loss = loss + config.reconstruction_weight * terms["reconstruction"]
        return {"loss": loss, **terms}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy on valid, in nats per token, with the right sources and with shifted ones (the floor)."""
        assert isinstance(model, Transformer)
        right: list[Tensor] = []
        wrong: list[Tensor] = []
        for rows in torch.arange(len(self.valid.target)).split(64):
            tokens = self.valid.target.most_likely(rows).to(device.of(model))
            prefix = model.encode_source(self._sources(rows).to(device.of(model)))
            for prefixes, losses in ((prefix, right), (prefix.roll(1, dims=0), wrong)):
                logits = model(prefixes, tokens)
                losses.append(F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none").mean(1))
        return {"loss": float(torch.cat(right).mean()), "shuffled": float(torch.cat(wrong).mean())}

    def _sources(self, rows: Tensor) -> Tensor:
        """What the model reads of the sources of valid, as they are."""
        if self.model.config.condition == "encoder":
            return self.valid.pictures.pictures(self.source, rows.tolist())
        return self._grid(self.valid.source.most_likely(rows))

    def _grid(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(1, self.model.shapes.source_grid)

    def _augmented(self, modality: Modality, rows: Tensor, draws: Draws) -> Tensor:
        """Pictures of training rows, shifted and worn: (b, c, h, w)."""
        pictures = self.train.pictures.pictures(modality, rows.tolist())
        return batches.worn(batches.shifted(pictures, self.augments[modality], draws), self.augments.wear, draws)

    def _reconstruction(self, logits: Tensor, tokens: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Squared error between the pictures of the predicted codes, straight-through, and of the true ones."""
        soft = F.softmax(logits.float(), dim=-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype) + soft - soft.detach()
        true = F.one_hot(tokens, soft.shape[-1]).to(soft.dtype)
        grid = self.model.shapes.target_grid
        with torch.no_grad():
            wanted = decode(true.unflatten(1, grid))
        return F.mse_loss(decode(hard.unflatten(1, grid)), wanted)
