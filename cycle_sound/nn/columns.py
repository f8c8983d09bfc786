"""Measuring any number of rows: batch by batch, shared by all processes. What is kept is a few values of each row."""

from collections.abc import Callable, Mapping

import numpy as np

from cycle_sound.nn import distributed

Columns = dict[str, np.ndarray]  # by what was measured, each of a value per row: (n, …)


def measured(rows: range, size: int, measure: Callable[[range], Mapping[str, np.ndarray]]) -> Columns:
    """What `measure` makes of rows, at least one, `size` at a time: the same columns, in order, in every process.

    `measure` may leave rows out of a column.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    parts = distributed.in_order([measure(batch) for batch in distributed.own(batches)])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def under(prefix: str, columns: Columns) -> Columns:
    """The columns whose names begin with a prefix, by what follows it."""
    return {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
