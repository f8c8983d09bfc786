"""Which pairs a training step sees: a pure function of the step and a seed."""

import torch
from torch import Tensor

from cycle_sound.nn.rng import seeded


def rows(step: int, count: int, batch_size: int, seed: int) -> Tensor:
    """Rows of the batch of a step, (batch_size,): shuffled epochs one behind the other, each row once an epoch."""
    first = step * batch_size
    epochs = range(first // count, (first + batch_size - 1) // count + 1)
    order = torch.cat([torch.randperm(count, generator=seeded(seed, epoch)) for epoch in epochs])
    start = first - epochs[0] * count
    return order[start : start + batch_size]
