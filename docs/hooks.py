"""What the documentation shows of the project itself, taken from where it stands when the site is built.

Pictures of metrics/ and .github/, a chart of metrics/evaluate_*.json, params.yaml, and the help of each command.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from cycle_sound.app.cli import app
from cycle_sound.io import figures
from cycle_sound.io.figures import Figure
from cycle_sound.params import DIRECTIONS, Direction

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {  # as pages link to them → within the site
    "../.github/fine.jpg": "figures/fine.jpg",
    "../.github/page.png": "figures/page.png",
    "../metrics/plots/audio_to_image.png": "figures/audio_to_image.png",
    "../metrics/plots/image_to_audio.png": "figures/image_to_audio.png",
    "../metrics/plots/cycle_synthetic.png": "figures/cycle_synthetic.png",
}
CHART = "figures/results.svg"
DRAWN = f"""![Figures of both directions between floor and ceiling]({CHART})

*Drawn from `metrics/evaluate_*.json`. Bars are 95 % intervals.*"""
SHOWN = {  # figures of shares and correlations: all between 0 and 1
    "class_consistency": "class consistency",
    "class_consistency_judge": "class consistency, by the judge",
    "cycle_consistency": "cycle consistency",
    "recall_at_1": "recall@1, own target among 50",
    "pitch_hue_correlation": "pitch ↔ hue",
    "loudness_size_correlation": "loudness ↔ size",
    "strokes_things_correlation": "strokes ↔ things",
}
COLOURS: dict[Direction, str] = {"audio_to_image": "#5e35b1", "image_to_audio": "#f4511e"}
LEFT, WIDTH, ROW = 250, 460, 44  # pixels: of the names, of the scale, of a figure's two directions
# Lines of pages, in place of which the site shows more: of the links, what they lead to.
METRICS, PARAMETERS = "[The figures as JSON](../metrics)", "[params.yaml](../../params.yaml)"
COMMANDS = "<!-- commands -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures that lie elsewhere in the project, and the chart."""
    for place, name in PICTURES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / "docs" / place)))
    files.append(File.generated(config, CHART, content=chart()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put pictures, the chart, the help of the commands and params.yaml where a page links to them."""
    for place, name in PICTURES.items():
        markdown = markdown.replace(f"]({place})", f"]({name})")
    markdown = markdown.replace(METRICS, DRAWN)
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(helps(typer.main.get_command(app), "cycle-sound")))
    if PARAMETERS in markdown:
        content = (ROOT / "params.yaml").read_text(encoding="utf-8")
        markdown = markdown.replace(PARAMETERS, f"```yaml\n{content}```\n")
    return markdown


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """A section with the help of each command below one, as it is printed."""
    context = click.Context(command, parent=parent, info_name=name.rpartition(" ")[2], max_content_width=100)
    children = getattr(command, "commands", {})
    if parent:
        yield f"## `{name}`\n\n```text\n{command.get_help(context)}\n```\n"
    for word, child in children.items():
        yield from helps(child, f"{name} {word}", context)


class Mark(NamedTuple):
    """One direction's figure in a chart, at a height in pixels."""

    figure: Figure
    colour: str
    y: int


def chart() -> str:
    """The figures of both directions between floor and ceiling, with their intervals, as SVG."""
    metrics = {one: ROOT / f"metrics/evaluate_{one}.json" for one in DIRECTIONS}
    found = {one: _by_name(json.loads(path.read_text(encoding="utf-8"))) for one, path in metrics.items()}
    height = 70 + ROW * len(SHOWN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 40} {height}" '
        'font-family="sans-serif" font-size="14" fill="#333">',
        f'<rect width="{LEFT + WIDTH + 40}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for number in range(6):
        x = _x(number / 5)
        parts.append(f'<path d="M{x} 42V{height - 16}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height - 2}" text-anchor="middle" font-size="12">{number / 5:g}</text>')
    for place, (direction, colour) in enumerate(COLOURS.items()):
        source, _, target = direction.partition("_to_")
        x = LEFT + 130 * place
        parts.append(f'<circle cx="{x}" cy="20" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x + 10}" y="25">{source} → {target}</text>')
    parts.append(f'<text x="{LEFT + 270}" y="25">◁ floor, ▷ ceiling</text>')
    for number, (name, title) in enumerate(SHOWN.items()):
        middle = 62 + ROW * number
        parts.append(f'<text x="{LEFT - 16}" y="{middle + 5}" text-anchor="end">{title}</text>')
        for place, (direction, colour) in enumerate(COLOURS.items()):
            parts += _drawn(Mark(found[direction][name], colour, middle - 8 + 16 * place))
    return "\n".join([*parts, "</svg>"])


def _by_name(flat: Mapping[str, float]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures.grouped(flat)}


def _drawn(mark: Mark) -> Iterator[str]:
    """A figure as a dot on its interval, floor and ceiling as triangles that point outwards."""
    (_, value, low, high, floor, ceiling), colour, y = mark
    if floor is not None:
        x = _x(floor)
        yield f'<path d="M{x} {y - 5}v10l-7 -5z" fill="#999"/>'
    if ceiling is not None:
        x = _x(ceiling)
        yield f'<path d="M{x} {y - 5}v10l7 -5z" fill="#999"/>'
    if low is not None and high is not None:
        yield f'<path d="M{_x(low)} {y}H{_x(high)}" stroke="{colour}" stroke-width="4" opacity="0.4"/>'
    yield f'<circle cx="{_x(value)}" cy="{y}" r="4.5" fill="{colour}"/>'


def _x(value: float) -> float:
    return round(LEFT + WIDTH * value, 1)
