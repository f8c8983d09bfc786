"""From pictures to cached codes: every clip, in as many shifted views as asked for."""

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset.augment import shifted
from cycle_sound.dataset.reader import Split
from cycle_sound.models.tokenizer import Tokenizer
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import Modality, ShiftConfig

BATCH = 100  # pictures at a time


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
    for start in range(0, len(pairs), BATCH):
        pictures = pairs.pictures(modality, range(start, min(start + BATCH, len(pairs))))
        rng = BatchRng(seeded(seed, start), len(pictures))
        seen = [pictures, *(shifted(pictures, shift, rng) for _ in range(views - 1))]
        both = [top_codes(model, view.to(device), top) for view in seen]
        codes.append(np.stack([code for code, _ in both], axis=1).astype(np.uint16))
        probabilities.append(np.stack([probability for _, probability in both], axis=1).astype(np.float16))
    return np.concatenate(codes), np.concatenate(probabilities)
