"""How near what a direction makes looks to real targets: sharpness, and the distance that a judge of pictures sees.

Sounds are looked at as log-mels.
"""

import numpy as np
import torch
from torch import Tensor

from cycle_sound.evaluation import judges, metrics
from cycle_sound.evaluation.scores import DirectionModels, Generated, named
from cycle_sound.training import fidelity

BATCH = 20  # pictures at a time, which a judge sees large


def kernel_distances(models: DirectionModels, generated: Tensor, tokenized: Tensor) -> dict[str, float]:
    """The kernel distances of pictures (n, c, h, w) from the first n real targets; the ceiling's is of `tokenized`.

    Empty where the judge is not installed, and for fewer than three pairs.
    """
    if judges.missing(judges.IMAGENET) or len(generated) < 3:
        return {}
    device = models.engine.models.device
    network = judges.ImageNetFeatures().to(device)

    @torch.inference_mode()
    def features(pictures: Tensor) -> np.ndarray:
        parts = [network(part.to(device)).cpu() for part in pictures.split(BATCH)]
        return torch.cat(parts).double().numpy()

    real = features(models.target.pictures[: len(generated)])
    return {
        **named("kernel_distance", metrics.kernel_distance(features(generated), real)),
        "kernel_distance_ceiling": metrics.kernel_distance(features(tokenized), real).value,
    }


def figures(models: DirectionModels, generated: Generated, count: int) -> dict[str, float]:
    """Sharpness of all that was generated, and kernel distances of the first `count`, each with its ceiling."""
    made, tokenized = generated.first, generated.tokenized
    ceilings = fidelity.sharpness_ratios(fidelity.sharpness(tokenized, models.target.pictures))
    return {
        **fidelity.sharpness_ratios(fidelity.sharpness(made, models.target.pictures)),
        **{f"{name}_ceiling": ratio for name, ratio in ceilings.items()},
        **kernel_distances(models, made[:count], tokenized[:count]),
    }
