"""Measuring any number of rows: batch by batch, shared by all processes. What is kept is a few values of each row."""

from collections.abc import Callable, Mapping

import numpy as np

from cycle_sound.nn import distributed

Measures = dict[str, np.ndarray]  # by name, of each row a value: (n, …)


def of_rows(rows: range, size: int, measure: Callable[[range], Mapping[str, np.ndarray]]) -> Measures:
    """What `measure` makes of rows, at least one, `size` at a time: the same in every process, in the order of rows.

    `measure` may leave rows out.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    parts = distributed.in_order([measure(batch) for batch in distributed.own(batches)])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def under(prefix: str, measures: Measures) -> Measures:
    """The measures whose names begin with a prefix, by what follows it in the name."""
    return {name.removeprefix(prefix): values for name, values in measures.items() if name.startswith(prefix)}
