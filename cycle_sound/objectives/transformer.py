"""What a transformer is trained for: the target's tokens given the source, and sources near their own targets."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound import batches, device
from cycle_sound.params import Augments, Direction, Modality, source_of, target_of
from cycle_sound.shards import Split
from cycle_sound.tokens import TokenCache
from cycle_sound.transformer import Transformer


class Side(NamedTuple):
    """One split as a transformer sees it: both sides' pictures and tokens."""

    pictures: Split
    source: TokenCache
    target: TokenCache


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

    def loss(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Terms of one step, in nats; the reconstruction error per pixel."""
        config = self.model.config
        rows = batches.rows(step, len(self.train.target), config.optimizer.batch_size, self.seed)
        tokens = self._drawn(self.train.target, rows, generator)
        pictures = self._shifted(self.target, rows, generator)
        made = self.model.losses(self._grids(self.train, rows, generator), tokens, pictures, generator)
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
            prefix = model.encode_source(self._grids(self.valid, rows, None).to(device.of(model)))
            for prefixes, losses in ((prefix, right), (prefix.roll(1, dims=0), wrong)):
                logits = model(prefixes, tokens)
                losses.append(F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none").mean(1))
        return {"loss": float(torch.cat(right).mean()), "shuffled": float(torch.cat(wrong).mean())}

    def _grids(self, side: Side, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """The sources of rows, augmented where a generator is given."""
        if self.model.config.condition == "encoder":
            if generator is None:
                return side.pictures.pictures(self.source, rows.tolist())
            return self._shifted(self.source, rows, generator)
        tokens = side.source.most_likely(rows) if generator is None else self._drawn(side.source, rows, generator)
        return tokens.unflatten(1, self.model.shapes.source_grid)

    def _drawn(self, cache: TokenCache, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Tokens of one view of each training clip: (b, t)."""
        views = torch.randint(cache.views, rows.shape, generator=generator, device=generator.device)
        return cache.drawn(rows, views.cpu(), generator)

    def _shifted(self, modality: Modality, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures of training rows, augmented: (b, c, h, w)."""
        pictures = self.train.pictures.pictures(modality, rows.tolist()).to(generator.device)
        shifted = batches.shifted(pictures, self.augments[modality], generator)
        return batches.worn(shifted, self.augments.wear, generator)

    def _reconstruction(self, logits: Tensor, tokens: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Squared error between the pictures of the predicted codes, straight-through, and of the true ones."""
        soft = F.softmax(logits.float(), dim=-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype) + soft - soft.detach()
        true = F.one_hot(tokens, soft.shape[-1]).to(soft.dtype)
        grid = self.model.shapes.target_grid
        with torch.no_grad():
            wanted = decode(true.unflatten(1, grid))
        return F.mse_loss(decode(hard.unflatten(1, grid)), wanted)
