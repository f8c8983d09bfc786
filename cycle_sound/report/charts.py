"""Line charts as data: lines between two axes with round ticks. The template `charts.html.j2` draws them."""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

TICKS = 4  # about so many on an axis

Point = tuple[float, float]


class Line(NamedTuple):
    """One line of a chart; of a line with a band each point has a low and a high end."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    colour: int = 0  # 0, 1, …, as the style sheet has them

    @property
    def points(self) -> list[Point]:
        """Where the line goes."""
        return list(zip(self.xs, self.ys, strict=True))

    @property
    def outline(self) -> list[Point]:
        """Around the band: there along its low ends, back along its high ones. Empty without a band."""
        if not self.lows:
            return []
        return [*zip(self.xs, self.lows, strict=True), *reversed(list(zip(self.xs, self.highs, strict=True)))]


class Axis(NamedTuple):
    """From where to where an axis goes, and the values written on it with their texts."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def fraction(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


class Chart(NamedTuple):
    """At least one line, none of them empty."""

    title: str
    lines: Sequence[Line]
    unit: str  # of the x axis
    x: Axis
    y: Axis


def axis(values: Sequence[float]) -> Axis:
    """An axis with round ticks that holds all values, at least one."""
    low, high = min(values), max(values)
    raw = (high - low or abs(high) or 1.0) / TICKS
    power = 10.0 ** floor(log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Axis(first * step, last * step, [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)])


def categories(texts: Sequence[str]) -> Axis:
    """An axis of things by name, at 0, 1, …"""
    return Axis(-0.3, len(texts) - 0.7, list(enumerate(texts)))


def chart(title: str, lines: Sequence[Line], unit: str, x: Axis | None = None) -> list[Chart]:
    """A chart of the lines that are not empty; no chart where all are. Without `x` the axes fit the lines."""
    lines = [line for line in lines if line.ys]
    if not lines:
        return []
    x = x or axis([value for line in lines for value in line.xs])
    y = axis([value for line in lines for value in (*line.ys, *line.lows, *line.highs)])
    return [Chart(title, lines, unit, x, y)]
