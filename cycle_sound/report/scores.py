"""The figures of both directions between their floors and ceilings: as a chart, and all of them as a table."""

from collections.abc import Mapping
from html import escape

Figures = Mapping[str, float]
ENDS = ("_low", "_high", "_floor", "_ceiling")
LEGEND = (
    '<p class="legend"><span class="key dot">measured on test</span><span class="key interval">95 % interval</span>'
    '<span class="key room">from the floor to the ceiling</span></p>'
)
UNLABELLED = "<p>The data have no labels, so there are no class figures; likelihood and retrieval remain.</p>"


def own(figures: Figures) -> list[str]:
    """The names of the figures that are not the end, floor or ceiling of another one."""

    def main(name: str) -> str:
        return next((name.removesuffix(end) for end in (*ENDS, "_shuffled") if name.endswith(end)), name)

    return [name for name in figures if main(name) == name or main(name) not in figures]


def said(name: str) -> str:
    """A figure's name for a person."""
    return name.replace("_", " ")


def chart(figures: Figures) -> str:
    """The figures that have an interval, on a scale from 0 to 1."""
    return "\n".join(_row(name, figures) for name in own(figures) if f"{name}_low" in figures)


def table(figures: Figures) -> str:
    """Every figure with its interval, floor and ceiling."""
    rows = "".join(
        f"<tr><th scope=row>{escape(said(name))}</th><td>{figures[name]:.4g}</td><td>{_interval(name, figures)}</td>"
        f"<td>{_number(figures, f'{name}_floor', f'{name}_shuffled')}</td>"
        f"<td>{_number(figures, f'{name}_ceiling')}</td></tr>"
        for name in own(figures)
    )
    head = "".join(f"<th scope=col>{name}</th>" for name in ("figure", "value", "95 % interval", "floor", "ceiling"))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(name: str, figures: Figures) -> str:
    value, low, high = (figures[f"{name}{end}"] for end in ("", "_low", "_high"))
    floor, ceiling = figures.get(f"{name}_floor"), figures.get(f"{name}_ceiling")
    about = f"{said(name)} {value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    marks = ""
    if floor is not None:
        about += f", floor {floor:.3f}"
        marks += _stretch("room", floor, 1.0 if ceiling is None else ceiling)
    if ceiling is not None:
        about += f", ceiling {ceiling:.3f}"
        marks += f'<i class="end" style="left:{_percent(ceiling)}"></i>'
    marks += _stretch("interval", low, high) + f'<i class="dot" style="left:{_percent(value)}"></i>'
    return (
        f'<div class="score" role="img" aria-label="{escape(about)}"><span>{escape(said(name))}</span>'
        f'<span class="track">{marks}</span><b>{value:.2f}</b></div>'
    )


def _stretch(kind: str, low: float, high: float) -> str:
    left, right = sorted((min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)))
    return f'<i class="{kind}" style="left:{_percent(left)};width:{_percent(right - left)}"></i>'


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _interval(name: str, figures: Figures) -> str:
    if f"{name}_low" not in figures:
        return ""
    return f"{figures[f'{name}_low']:.3f} – {figures[f'{name}_high']:.3f}"


def _number(figures: Figures, *names: str) -> str:
    return next((f"{figures[name]:.4g}" for name in names if name in figures), "")
