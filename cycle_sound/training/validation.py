"""Validations look at no more pairs than they are given, a few at a time, and all processes share them."""

from collections.abc import Callable, Mapping

import numpy as np

from cycle_sound.nn import measures
from cycle_sound.nn.measures import Measures

BATCH = 64  # pairs at a time


def measured(count: int, pairs: int, measure: Callable[[range], Mapping[str, np.ndarray]]) -> Measures:
    """What `measure` makes of the first `pairs` of `count` rows, at least one: the same in every process."""
    return measures.of_rows(range(min(count, pairs)), BATCH, measure)
