"""How near what a direction makes looks to real targets: sharpness, and the distance that a judge of pictures sees.

Sounds are looked at as log-mels.
"""

import numpy as np
import torch
from torch import Tensor

from cycle_sound.evaluation import judges, metrics
from cycle_sound.evaluation.generation import Generated, Pairs
from cycle_sound.evaluation.label_metrics import named
from cycle_sound.evaluation.samples import Samples
from cycle_sound.nn import fidelity, measures
from cycle_sound.nn.measures import Measures

BATCH = 20  # pictures at a time, which a judge sees large
TOKENIZED = "tokenized: "  # of real targets through the tokenizer alone


def measure(pairs: Pairs, generated: Generated) -> Measures:
    """Sharpness of what was generated of some pairs, of real targets, and of these through the tokenizer."""
    ceiling = fidelity.sharpness(generated.tokenized, pairs.target)
    return {
        **fidelity.sharpness(generated.kept, pairs.target),
        **{f"{TOKENIZED}{name}": values for name, values in ceiling.items()},
    }


def kernel_distances(samples: Samples, device: torch.device) -> dict[str, float]:
    """The kernel distances of generated targets from the real ones; the ceiling's is of those through the tokenizer.

    Empty where the judge is not installed, and for fewer than three pairs.
    """
    if judges.missing(judges.IMAGENET) or len(samples.ids) < 3:
        return {}
    network = judges.ImageNetFeatures().to(device)

    @torch.inference_mode()
    def features(pictures: Tensor) -> np.ndarray:
        parts = [network(part.to(device)).cpu() for part in pictures.split(BATCH)]
        return torch.cat(parts).double().numpy()

    real = features(samples.real)
    return {
        **named("kernel_distance", metrics.kernel_distance(features(samples.generated), real)),
        "kernel_distance_ceiling": metrics.kernel_distance(features(samples.tokenized), real).value,
    }


def figures(measured: Measures, samples: Samples, device: torch.device) -> dict[str, float]:
    """Sharpness of all that was measured, and kernel distances of some samples, each with its ceiling."""
    ceilings = fidelity.sharpness_ratios(measures.under(TOKENIZED, measured))
    return {
        **fidelity.sharpness_ratios(measured),
        **{f"{name}_ceiling": ratio for name, ratio in ceilings.items()},
        **kernel_distances(samples, device),
    }
