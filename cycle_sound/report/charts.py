"""Line charts as SVG, drawn at the width of a phone, in the colours that the page's style gives to line 0, 1, …"""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 340, 196  # of a chart
LEFT, RIGHT, TOP, BOTTOM = 40, 320, 10, 164  # of the plane inside it
TICKS = 4  # about so many on an axis


class Line(NamedTuple):
    """One line of a chart; of a line with a band each point has a low and a high end."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    dashed: bool = False
    colour: int = 0


class Axis(NamedTuple):
    """From where to where an axis goes, and the values written on it with their texts."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def axis(values: Sequence[float]) -> Axis:
    """An axis with round ticks that holds all values, at least one."""
    low, high = min(values), max(values)
    raw = (high - low or abs(high) or 1.0) / TICKS
    power = 10.0 ** floor(log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Axis(first * step, last * step, [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)])


def names(texts: Sequence[str]) -> Axis:
    """An axis of things by name, at 0, 1, …"""
    return Axis(-0.3, len(texts) - 0.7, list(enumerate(texts)))


def chart(title: str, lines: Sequence[Line], below: str, across: Axis | None = None) -> str:
    """A chart of lines with a legend; `below` says what the x axis is. Empty lines are left out."""
    lines = [line for line in lines if line.ys]
    if not lines:
        return ""
    x = across or axis([value for line in lines for value in line.xs])
    y = axis([value for line in lines for value in (*line.ys, *line.lows, *line.highs)])
    drawn = "".join(_band(line, x, y) for line in lines) + "".join(_line(line, x, y) for line in lines)
    about = "; ".join(f"{line.name} ends at {line.ys[-1]:.3g}" for line in lines)
    legend = "".join(
        f'<span class="key c{line.colour}{" dashed" if line.dashed else ""}">{escape(line.name)}</span>'
        for line in lines
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption><div class="legend">{legend}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {about}")}">'
        f"{_frame(x, y)}{drawn}"
        f'<text class="unit" x="{RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{escape(below)}</text></svg></figure>'
    )


def _frame(x: Axis, y: Axis) -> str:
    rows = "".join(
        f'<path class="rule" d="M{LEFT} {_down(value, y)}H{RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{_down(value, y) + 3.5:.1f}" text-anchor="end">{escape(text)}</text>'
        for value, text in y.ticks
    )
    columns = "".join(
        f'<text x="{_right(value, x)}" y="{BOTTOM + 14}" text-anchor="middle">{escape(text)}</text>'
        for value, text in x.ticks
    )
    return rows + columns


def _line(line: Line, x: Axis, y: Axis) -> str:
    places = [(_right(a, x), _down(b, y)) for a, b in zip(line.xs, line.ys, strict=True)]
    path = "M" + "L".join(f"{a} {b}" for a, b in places)
    dots = "".join(f'<circle cx="{a}" cy="{b}" r="2.2"/>' for a, b in places) if len(places) <= 8 else ""
    return f'<g class="line c{line.colour}{" dashed" if line.dashed else ""}"><path d="{path}"/>{dots}</g>'


def _band(line: Line, x: Axis, y: Axis) -> str:
    if not line.lows:
        return ""
    edge = [*zip(line.xs, line.lows, strict=True), *reversed(list(zip(line.xs, line.highs, strict=True)))]
    path = "L".join(f"{_right(a, x)} {_down(b, y)}" for a, b in edge)
    return f'<path class="band c{line.colour}" d="M{path}Z"/>'


def _right(value: float, x: Axis) -> float:
    return round(LEFT + (value - x.low) / (x.high - x.low) * (RIGHT - LEFT), 1)


def _down(value: float, y: Axis) -> float:
    return round(BOTTOM - (value - y.low) / (y.high - y.low) * (BOTTOM - TOP), 1)
