"""The flat figures of metrics/*.json, each with the interval, floor and ceiling that belong to it."""

from collections.abc import Mapping
from typing import NamedTuple

PARTS = ("_low", "_high", "_floor", "_ceiling", "_shuffled")


class Figure(NamedTuple):
    """One figure; None stands for what was not measured."""

    name: str
    value: float
    low: float | None  # of the 95 % interval
    high: float | None
    floor: float | None  # for shuffled sources
    ceiling: float | None


def grouped(flat: Mapping[str, float]) -> list[Figure]:
    """NAME, NAME_low, NAME_high, NAME_floor or NAME_shuffled, and NAME_ceiling as one figure, in the order given."""
    return [
        _figure(name, flat)
        for name in flat
        if not any(name.removesuffix(part) in flat for part in PARTS if name.endswith(part))
    ]


def sample_sizes(pairs: int, queries: int, kernel_pairs: int, waveforms: int) -> str:
    """In a sentence or two, which figures are measured on fewer than all `pairs` of the test split, and on how many.

    The counts are those that `evaluate` asks for: `retrieval_queries`, `kernel_pairs` and `waveforms`.
    """
    sources, compared, sounds = (min(pairs, count) for count in (queries, kernel_pairs, waveforms))
    return (
        f"Some figures are of fewer than all {pairs} test pairs: recall is of {sources} sources, the kernel distance "
        f"of {compared} pairs, and what is measured in generated sounds (pitch, loudness, strokes, warble, words) of "
        f"{sounds}. Intervals are for these numbers."
    )


def _figure(name: str, flat: Mapping[str, float]) -> Figure:
    low, high, floor, ceiling, shuffled = (flat.get(name + part) for part in PARTS)
    return Figure(name, flat[name], low, high, shuffled if floor is None else floor, ceiling)


def table(flat: Mapping[str, float]) -> list[dict[str, str | float | None]]:
    """A row for each figure that has an interval and a floor: shares, rank correlations, areas under curves."""
    return [
        {
            "figure": figure.name,
            "value": figure.value,
            "value_low": figure.low,
            "value_high": figure.high,
            "value_floor": figure.floor,
            "value_ceiling": figure.ceiling,
        }
        for figure in grouped(flat)
        if None not in (figure.low, figure.high, figure.floor)
    ]
