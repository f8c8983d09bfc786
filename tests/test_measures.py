"""What is kept of many rows."""

import mmap

import numpy as np

from cycle_sound.nn import measures


def batch(rows: range) -> measures.Measures:
    """Values of several types and shapes, none of them for row 3."""
    kept = [row for row in rows if row != 3]
    return {
        "number": np.array(kept, np.float32),
        "vector": np.arange(5.0)[None] + np.array(kept).reshape(-1, 1),
        "label": np.array(["x" * row for row in kept], dtype=str),
        "right": np.array([row % 2 == 0 for row in kept], bool),
    }


def test_measures_of_batches_are_those_of_all_rows() -> None:
    whole = batch(range(11))
    for size in (1, 3, 4, 11, 20):
        found = measures.of_rows(range(11), size, batch)
        assert list(found) == list(whole)
        for name, values in whole.items():
            assert np.array_equal(found[name], values)
            assert found[name].dtype == values.dtype


def test_values_outside_the_heap_are_copies_in_one_mapping() -> None:
    given = batch(range(6)) | {"none": np.empty((0, 3))}
    kept = measures.outside_heap(given)
    assert all(isinstance(values.base, mmap.mmap) for values in kept.values())
    assert len({id(values.base) for values in kept.values()}) == 1
    for values in given.values():
        values[...] = np.zeros((), values.dtype)
    assert all(np.array_equal(kept[name], values) for name, values in batch(range(6)).items())
