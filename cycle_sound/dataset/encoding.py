"""From pictures to cached codes or features: every clip, in as many augmented views as asked for."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cycle_sound.dataset.augment import degrade, shifted
from cycle_sound.dataset.reader import Split
from cycle_sound.models.tokenizer import Tokenizer
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DegradationConfig, Modality, ShiftConfig

BATCH = 100  # pictures at a time

Augmentation = Callable[[Tensor, BatchRng], Tensor]


def seen(modality: Modality, pairs: Split, views: int, augmented: Augmentation, seed: int) -> Iterator[list[Tensor]]:
    """The pictures of a split, BATCH at a time, in so many views: (b, c, h, w) each, the first as they are."""
    for start in range(0, len(pairs), BATCH):
        rows = range(start, min(start + BATCH, len(pairs)))
        pictures, rng = pairs.pictures(modality, rows), BatchRng(seed, places=rows)
        yield [pictures, *(augmented(pictures, rng) for _ in range(views - 1))]


@torch.inference_mode()
def top_codes(model: Tokenizer, pictures: Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The `top` most likely codes and their probabilities: (b, c, h, w) → (b, k, t, top) twice."""
    likeliest = torch.softmax(model.logits(pictures).flatten(2, 3), dim=-1).topk(top, dim=-1)
    return likeliest.indices.cpu().numpy(), likeliest.values.cpu().numpy()


def encode(
    model: Tokenizer,
    modality: Modality,
    pairs: Split,
    views: int,
    top: int,
    shift: ShiftConfig,
    seed: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and probabilities of a whole split: (n, views, k, t, top) twice. View 0 is not shifted."""
    codes, probabilities = [], []
    for pictures in seen(modality, pairs, views, lambda given, rng: shifted(given, shift, rng), seed):
        both = [top_codes(model, view.to(device), top) for view in pictures]
        codes.append(np.stack([code for code, _ in both], axis=1).astype(np.uint16))
        probabilities.append(np.stack([probability for _, probability in both], axis=1).astype(np.float16))
    return np.concatenate(codes), np.concatenate(probabilities)


@torch.inference_mode()
def features(
    network: nn.Module,
    modality: Modality,
    pairs: Split,
    views: int,
    shift: ShiftConfig,
    degradation: DegradationConfig,
    seed: int,
    device: torch.device,
) -> Iterator[np.ndarray]:
    """Features of a split, BATCH clips at a time: (b, views, c, rows, columns). View 0 is of pictures as they are."""

    def augmented(pictures: Tensor, rng: BatchRng) -> Tensor:
        return degrade(shifted(pictures, shift, rng), degradation, rng)

    for pictures in seen(modality, pairs, views, augmented, seed):
        yield torch.stack([network(view.to(device)) for view in pictures], dim=1).cpu().numpy()
