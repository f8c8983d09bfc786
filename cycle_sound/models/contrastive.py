"""The contrastive loss (InfoNCE), which pulls vectors of pairs together and those of others apart.

Van den Oord et al. 2018, arXiv:1807.03748. Cosines are multiplied by a learned scale, whose logarithm is the weight.
"""

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.nn import device, distributed

FIRST_SCALE, MAX_SCALE = 10.0, 50.0  # of the cosines, at the start of a training and at most


def first_log_scale() -> nn.Parameter:
    """The weight that stands for FIRST_SCALE at first: (1,)."""
    return nn.Parameter(torch.tensor([log(FIRST_SCALE)]))


def scale_of(log_scale: Tensor) -> Tensor:
    """What cosines are multiplied by to be nats, at most MAX_SCALE: (1,) → (1,)."""
    return log_scale.exp().clamp(max=MAX_SCALE)


def alignment(
    sources: Tensor, targets: Tensor, scale: Tensor, known: Tensor | None = None, clips: Tensor | None = None
) -> Tensor:
    """InfoNCE within the batch, both ways: (b, d), (b, d) → () nats.

    In float32 whatever the precision around it. `known`, bool (b,): the pairs that count, by default all; of none the
    loss is 0. `clips`, int64 (b,): the clip that each pair is of, by default one of its own; a pair is not contrasted
    with others of its clip, such as where a batch reaches into the next epoch.
    """
    with device.exact(sources.device):  # cosines are multiplied by up to 50: in bfloat16 they would be tenths off
        logits = distributed.all_gather(sources.float()) @ distributed.all_gather(targets.float()).T * scale
    if clips is not None:
        every = distributed.all_gather(clips)
        twins = (every[:, None] == every).fill_diagonal_(False)
        logits = logits.masked_fill(twins, -torch.inf)
    if known is not None:
        rows = distributed.all_gather(known.float()).nonzero()[:, 0]
        logits = logits.index_select(0, rows).index_select(1, rows)
        if not len(rows):
            return logits.sum()  # with a gradient of zeros, which processes that average theirs need
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
