"""How near what a direction makes looks to real targets: sharpness, and the distance that a judge of pictures sees.

Sounds are looked at as log-mels.
"""

import numpy as np
from torch import Tensor

from cycle_sound.evaluation import judges, metrics
from cycle_sound.evaluation.scores import DirectionModels, Generated, named
from cycle_sound.inference.fixed_batches import map_fixed_batches
from cycle_sound.training import fidelity


def kernel_distances(models: DirectionModels, generated: Tensor, tokenized: Tensor) -> dict[str, float]:
    """The kernel distances of pictures (n, c, h, w) from the first n real targets; the ceiling's is of `tokenized`.

    Empty where the judge is not installed, and for fewer than three pairs.
    """
    if judges.missing(judges.IMAGENET) or len(generated) < 3:
        return {}
    device = models.engine.models.device
    network = judges.ImageNetFeatures().to(device)

    def features(pictures: Tensor) -> np.ndarray:
        return map_fixed_batches(network, device, pictures).double().numpy()

    real = features(models.target.pictures[: len(generated)])
    return {
        **named("kernel_distance", metrics.kernel_distance(features(generated), real)),
        "kernel_distance_ceiling": metrics.kernel_distance(features(tokenized), real).value,
    }


def figures(models: DirectionModels, generated: Generated, count: int) -> dict[str, float]:
    """Sharpness of all that was generated, and kernel distances of the first `count`, each with its ceiling."""
    made, tokenized = generated.samples[0], models.engine.decode(models.target.modality, models.target.codes)
    ceilings = fidelity.sharpness(tokenized, models.target.pictures)
    return {
        **fidelity.sharpness(made, models.target.pictures),
        **{f"{name}_ceiling": ratio for name, ratio in ceilings.items()},
        **kernel_distances(models, made[:count], tokenized[:count]),
    }
