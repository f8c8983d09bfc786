"""From pictures to cached tokens: every clip, in as many shifted views as asked for."""

import numpy as np
import torch
from torch import Tensor

from cycle_sound import batches, device
from cycle_sound.dvae import DiscreteVAE
from cycle_sound.params import Augment, Modality
from cycle_sound.shards import Split

BATCH = 100  # pictures at a time


@torch.inference_mode()
def top_codes(model: DiscreteVAE, pictures: Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
    """The `top` most likely codes at each place and their probabilities: (b, c, h, w) → (b, t, top) twice."""
    likely = torch.softmax(model.logits(pictures.to(device.of(model))), dim=-1).topk(top, dim=-1)
    return likely.indices.flatten(1, 2).cpu().numpy(), likely.values.flatten(1, 2).cpu().numpy()


def encode(
    model: DiscreteVAE, modality: Modality, pairs: Split, views: int, top: int, augment: Augment, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and probabilities of a whole split: (n, views, t, top) twice. View 0 is not shifted."""
    codes, shares = [], []
    for start in range(0, len(pairs), BATCH):
        pictures = pairs.pictures(modality, range(start, min(start + BATCH, len(pairs))))
        draws = batches.Draws(batches.seeded(seed, start), len(pictures))
        seen = [pictures, *(batches.shifted(pictures, augment, draws) for _ in range(views - 1))]
        both = [top_codes(model, view, top) for view in seen]
        codes.append(np.stack([code for code, _ in both], axis=1).astype(np.uint16))
        shares.append(np.stack([share for _, share in both], axis=1).astype(np.float16))
    return np.concatenate(codes), np.concatenate(shares)
