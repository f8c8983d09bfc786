"""The report as a page of sections."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import torch
from torch import Tensor

from cycle_sound import markup
from cycle_sound.params import Audio, Direction, Report, target_of
from cycle_sound.report import curves, neighbours, scores, strips
from cycle_sound.report.charts import Line, axis, chart
from cycle_sound.report.curves import Rows
from cycle_sound.report.neighbours import Nearest
from cycle_sound.report.scores import Figures
from cycle_sound.report.strips import Judges
from cycle_sound.report.style import STYLE
from cycle_sound.samples import Samples
from cycle_sound.shards import Split

TITLE = "Cycle_Sound: what it learned and what it makes"
ARROWS: Mapping[Direction, str] = {"audio_to_image": "audio → image", "image_to_audio": "image → audio"}
HEARD = "Every sound here, real ones too, is heard through the same inversion of its log-mel."


class Section(NamedTuple):
    """A part of the page."""

    name: str  # its anchor
    title: str
    body: str  # HTML


class Ground(NamedTuple):
    """What all examples stand on."""

    train: Split
    judges: Judges
    audio: Audio
    config: Report
    seed: int


def document(sections: Sequence[Section]) -> str:
    """The whole page."""
    links = "".join(f'<a href="#{part.name}">{escape(part.title)}</a>' for part in sections)
    body = "\n".join(
        f'<section id="{part.name}"><h2>{escape(part.title)}</h2>\n{part.body}</section>' for part in sections
    )
    return markup.document(TITLE, f"<nav>{links}</nav>\n{body}", STYLE)


def measured(figures: Mapping[Direction, Figures]) -> Section:
    """The figures of both directions."""
    labelled = any("class_consistency" in found for found in figures.values())
    shown = "".join(
        f"<div><h3>{ARROWS[way]}, {found['pairs']:.0f} test pairs</h3>{scores.chart(found)}"
        f'<div class="scale"><span>0</span><span>1</span></div>'
        f"<details><summary>All figures</summary>{scores.table(found)}</details></div>"
        for way, found in figures.items()
    )
    about = (
        "<p>The floor is what the same samples score against shuffled sources; the ceiling is what real targets score "
        "through the tokenizer alone: no transformer can do better.</p>"
    )
    plain = "" if labelled else scores.UNLABELLED
    return Section("figures", "Figures", f'{about}{plain}{scores.LEGEND}<div class="two">{shown}</div>')


def learned(trainings: Sequence[tuple[str, str, Rows]]) -> Section:
    """The learning curve of every training, by stage and instance."""
    charts = "".join(curves.learning(*training) for training in trainings)
    missing = [f"{stage} {instance}" for stage, instance, rows in trainings if len(rows) < 2]
    plain = f"<p>Without a curve, since nothing was watched twice: {escape(', '.join(missing))}.</p>" if missing else ""
    return Section("learning", "Learning", f'{plain}<div class="charts">{charts}</div>')


def codebooks(trainings: Mapping[str, Rows]) -> Section:
    """How much of its codebook each modality uses on valid."""
    charts = "".join(curves.codebook(modality, rows) for modality, rows in trainings.items())
    about = "<p>A code that no token names is lost; a perplexity near the size of the codebook uses all alike.</p>"
    return Section("codebooks", "Codebook use", f'{about}<div class="charts">{charts}</div>')


def tried(tables: Mapping[Direction, Mapping[str, Rows]]) -> Section:
    """Guidance and re-ranking, on valid, where the defaults were chosen, and on test."""
    parts = [
        "<p>Candidates: of so many samples the one that explains its source best, by the direction back, is kept. "
        "Bands are 95 % intervals on test; the defaults were chosen on valid.</p>"
    ]
    for way, splits in tables.items():
        charts = curves.trials("guidance", "guidance", splits) + curves.trials("best of", "candidates", splits)
        parts.append(f'<h3>{ARROWS[way]}</h3><div class="charts">{charts}</div>{_settings(splits)}')
    return Section("drawing", "Guidance and re-ranking", "\n".join(parts))


def _settings(splits: Mapping[str, Rows]) -> str:
    columns = [name for name in ("class_consistency", "cycle_consistency", "explained") if name in splits["test"][0]]
    head = "".join(f"<th scope=col>{scores.said(name)}, {split}</th>" for name in columns for split in splits)
    body = "".join(
        f"<tr><th scope=row>{escape(rows[0]['setting'])}</th>"
        + "".join(
            f"<td>{float(row[name]):.3g}</td>" if name in row else "<td></td>" for name in columns for row in rows
        )
        + "</tr>"
        for rows in zip(*splits.values(), strict=True)
    )
    table = f"<table><thead><tr><th scope=col>setting</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<details><summary>As a table</summary>{table}</details>"


def made(samples: Samples, ground: Ground) -> Section:
    """Best, median and worst pairs of a direction, and some around the cycle."""
    parts = [
        f"<p>Ranked by how much likelier the generated target makes its source, by the direction back. {HEARD}</p>"
    ]
    for rank, rows in strips.ranked(samples, ground.config.shown).items():
        parts += [
            f"<h3>{rank.capitalize()}</h3>",
            _strips(strips.outcome(samples, row, ground.audio) for row in rows),
        ]
    named = "Below each what a classifier of real data calls it."
    plain = named if all(ground.judges.values()) else "The data have no labels, so nothing is named."
    parts.append(f"<h3>Around the cycle</h3><p>The first test pairs, not selected. {plain}</p>")
    first = range(min(ground.config.shown, len(samples.ids)))
    parts.append(_strips(strips.around(samples, row, ground.judges, ground.audio) for row in first))
    return Section(samples.direction, ARROWS[samples.direction], "\n".join(parts))


def memorised(both: Sequence[Samples], ground: Ground) -> Section:
    """Nearest training targets of what was generated."""
    return Section("neighbours", "Is it memorising?", "\n".join(_neighbours(samples, ground) for samples in both))


def _neighbours(samples: Samples, ground: Ground) -> str:
    modality = target_of(samples.direction)
    judge = ground.judges[modality]
    shows = {"generated": samples.generated, "real, through the tokenizer": samples.tokenized, "real": samples.real}
    near = neighbours.nearest(judge, ground.train, modality, torch.cat(list(shows.values())))  # train is passed once
    parts = zip(near.rows.chunk(len(shows)), near.distances.chunk(len(shows)), strict=True)
    found = {name: Nearest(*part) for name, part in zip(shows, parts, strict=True)}
    closest = found["generated"].distances.argsort(stable=True)[: ground.config.neighbours].tolist()
    space = "the features of its classifier" if judge else "pixels, since the data have no labels"
    beside = _strips(strips.beside(samples, row, found["generated"], ground.train, ground.audio) for row in closest)
    return f"""<h3>{ARROWS[samples.direction]}</h3>
{_verdict([near.distances for near in found.values()], ground.seed)}
<p>Distances in {space}, to the nearest of {len(ground.train)} training targets.</p>
<div class="charts">{_shares({name: near.distances for name, near in found.items()})}</div>
<p>The generated samples that lie nearest to a training target, so the most suspicious:</p>
{beside}"""


def _shares(distances: Mapping[str, Tensor]) -> str:
    """Which share of targets lies within a distance of the training targets."""
    lines = []
    for number, (name, values) in enumerate(distances.items()):
        ordered = values.sort().values.tolist()
        lines.append(Line(name, ordered, [(rank + 1) / len(ordered) for rank in range(len(ordered))], colour=number))
    across = axis([0.0, *(value for line in lines for value in line.xs)])
    return chart("share of targets within a distance of train", lines, "distance", across)


def _verdict(distances: Sequence[Tensor], seed: int) -> str:
    """One sentence, of the distances of generated targets, real ones through the tokenizer, and real ones."""
    generated, *others = distances
    ratios = [neighbours.ratio(generated, real, seed) for real in others]
    if None in ratios:
        return "<p>Real test targets lie on training targets: the data repeat themselves, so nothing can be said.</p>"
    tokenized, real = (f"{one.value:.2f} ({one.low:.2f} – {one.high:.2f})" for one in ratios if one)
    return (
        f'<p class="big">The median distance of generated targets to their nearest training targets is {tokenized} '
        f"times that of real test targets through the tokenizer, and {real} times that of the real ones as they are "
        "(95 % interval). Near 1 or above: not memorising.</p>"
    )


def _strips(strips: Iterable[str]) -> str:
    return f'<div class="strips">{"".join(strips)}</div>'
