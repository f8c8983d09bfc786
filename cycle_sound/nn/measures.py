"""Measuring any number of rows: batch by batch, shared by all processes. What is kept is a few values of each row."""

import mmap
from collections.abc import Callable, Mapping

import numpy as np

from cycle_sound.nn import distributed

Measures = dict[str, np.ndarray]  # by name, of each row a value: (n, …)
ALIGNED = 64  # bytes, to a multiple of which arrays in one mapping begin


def of_rows(rows: range, size: int, measure: Callable[[range], Mapping[str, np.ndarray]]) -> Measures:
    """What `measure` makes of rows, at least one, `size` at a time: the same in every process, in the order of rows.

    `measure` may leave rows out.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    parts = distributed.in_order([outside_heap(measure(batch)) for batch in distributed.own(batches)])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def outside_heap(values: Mapping[str, np.ndarray]) -> Measures:
    """Copies of a batch's values in one anonymous memory mapping.

    In the heap they would lie between the large blocks that a batch frees, and fragment it: an evaluation of 4,000
    pairs took 1,348 MB, where 613 are enough.
    """
    sizes = [ALIGNED * -(-array.nbytes // ALIGNED) for array in values.values()]
    mapping, start, kept = mmap.mmap(-1, max(sum(sizes), 1)), 0, {}
    for (name, array), size in zip(values.items(), sizes, strict=True):
        kept[name] = np.ndarray(array.shape, array.dtype, mapping, start)
        kept[name][...] = array
        start += size
    return kept


def under(prefix: str, measures: Measures) -> Measures:
    """The measures whose names begin with a prefix, by what follows it in the name."""
    return {name.removeprefix(prefix): values for name, values in measures.items() if name.startswith(prefix)}
