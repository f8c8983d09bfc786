"""Judging a target by the way back: how much likelier does it make its source?

Both directions estimate the same quantity, the pointwise mutual information of a sound and a picture, so what one of
them draws the other can judge. The same score ranks whole folders.
"""

import torch
from torch import Tensor

from cycle_sound.sampling import log_likelihood
from cycle_sound.transformer import Transformer


@torch.inference_mode()
def explained(back: Transformer, sources: Tensor, grids: Tensor) -> Tensor:
    """log p(source tokens | target) − log p(source tokens | null), in nats: (b, rows, columns), (b, …) → (b,).

    `back` is the transformer from targets to sources, `grids` what it reads of the targets. Without the second term a
    source that is likely anyhow would count as explained.
    """
    prefix = torch.cat([back.encode_source(grids), back.null_prefix(len(grids))])
    given, null = log_likelihood(back, prefix, sources.flatten(1).repeat(2, 1)).chunk(2)
    return given - null


def best(candidates: Tensor, scores: Tensor) -> Tensor:
    """Of each row's candidates the one with the highest score: (n, k, …), (n, k) → (n, …)."""
    return candidates[torch.arange(len(scores)), scores.argmax(1)]
