"""Encode clips into the codes or features to be cached, in several augmented views, BATCH clips in memory at a time.

The augmentation of a clip depends only on the seed, its modality and its row in the split. Its batch, and with it how
results are rounded, also depends on the shard that it lies in.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound.dataset.augment import degrade, shifted
from cycle_sound.dataset.reader import Split
from cycle_sound.models.tokenizer import Tokenizer
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import MODALITIES, DegradationConfig, Modality, ShiftConfig

BATCH = 100  # pictures at a time

Augmentation = Callable[[Tensor, BatchRng], Tensor]
Encoded = Mapping[str, np.ndarray]  # by what the arrays hold, each of a row per clip


def seen(
    modality: Modality, pairs: Split, rows: range, views: int, augmented: Augmentation, seed: int
) -> Iterator[list[Tensor]]:
    """Yield the pictures of `rows`, BATCH at a time, as a list of views (b, c, h, w); the first is not augmented."""
    side = MODALITIES.index(modality)  # or the views of a picture would be shifted as those of its sound are
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        pictures, rng = pairs.pictures(modality, some), BatchRng(seed, side, places=some)
        yield [pictures, *(augmented(pictures, rng) for _ in range(views - 1))]


@torch.inference_mode()
def top_codes(model: Tokenizer, pictures: Tensor, top: int) -> dict[str, np.ndarray]:
    """The `top` most likely codes of pictures (b, c, h, w), and their probabilities where they are several.

    Both (b, k, t, top).
    """
    if top == 1:
        return {"codes": model.encode(pictures).flatten(2)[..., None].cpu().numpy()}
    likeliest = torch.softmax(model.logits(pictures).flatten(2, 3), dim=-1).topk(top, dim=-1)
    return {"codes": likeliest.indices.cpu().numpy(), "probabilities": likeliest.values.cpu().numpy()}


def codes(
    model: Tokenizer,
    modality: Modality,
    pairs: Split,
    rows: range,
    *,
    views: int,
    top: int,
    shift: ShiftConfig,
    seed: int,
    device: torch.device,
) -> Iterator[Encoded]:
    """Codes, and probabilities where `top` are several, BATCH clips at a time: (b, views, k, t, top) each.

    View 0 is not shifted.
    """
    for pictures in seen(modality, pairs, rows, views, lambda given, rng: shifted(given, shift, rng), seed):
        each = [top_codes(model, view.to(device), top) for view in pictures]
        yield {name: np.stack([view[name] for view in each], axis=1) for name in each[0]}


@torch.inference_mode()
def features(
    network: nn.Module,
    modality: Modality,
    pairs: Split,
    rows: range,
    *,
    views: int,
    shift: ShiftConfig,
    degradation: DegradationConfig,
    seed: int,
    device: torch.device,
) -> Iterator[Encoded]:
    """Features, BATCH clips at a time: (b, views, c, rows, columns). View 0 is of pictures as they are."""

    def augmented(pictures: Tensor, rng: BatchRng) -> Tensor:
        return degrade(shifted(pictures, shift, rng), degradation, rng)

    for pictures in seen(modality, pairs, rows, views, augmented, seed):
        yield {"features": torch.stack([network(view.to(device)) for view in pictures], dim=1).cpu().numpy()}
