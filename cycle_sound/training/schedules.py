"""What changes during training, as pure functions of the step: they can be plotted, tested and resumed."""

import math

from cycle_sound.params import OptimizerConfig


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """From `start` at step 0 to `end` at the last step, along half a cosine."""
    progress = min(step / max(steps - 1, 1), 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def learning_rate(step: int, optimizer: OptimizerConfig) -> float:
    """Linear warm-up, then a cosine down to `final_learning_rate` × the peak."""
    peak = optimizer.learning_rate
    if step < optimizer.warmup:
        return peak * (step + 1) / optimizer.warmup
    after = optimizer.steps - optimizer.warmup
    return cosine(step - optimizer.warmup, after, peak, peak * optimizer.final_learning_rate)


def temperature(step: int, steps: int, start: float, end: float) -> float:
    """Geometric fall from `start` to `end`, reached at three quarters of the run: the last quarter is nearly hard."""
    progress = min(step / max(0.75 * steps, 1), 1.0)
    return start * (end / start) ** progress
