"""The report as a page of sections. The templates hold its text; here stand the numbers and the choice of samples."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from markupsafe import Markup
from torch import Tensor

from cycle_sound.evaluation.samples import Samples
from cycle_sound.io import figures, templates
from cycle_sound.params import Direction, EvaluateConfig, target_of
from cycle_sound.report import curves, neighbours, strips
from cycle_sound.report.charts import Chart, Line, axis, chart
from cycle_sound.report.curves import INFORMATION, Rows
from cycle_sound.report.neighbours import Nearest
from cycle_sound.report.strips import ReportContext

TITLE = "Cycle_Sound: what it learned and what it generates"
ARROWS: Mapping[Direction, str] = {"audio_to_image": "audio → image", "image_to_audio": "image → audio"}
TEMPLATES = templates.environment("cycle_sound.report")


class Section(NamedTuple):
    """A part of the page."""

    name: str  # its anchor
    title: str
    body: Markup


def document(sections: Sequence[Section]) -> str:
    """The whole page as HTML that needs nothing beside it."""
    css = templates.stylesheet("cycle_sound.report", "report.css")
    return TEMPLATES.get_template("report.html.j2").render(title=TITLE, css=css, sections=sections)


def measurements(metrics: Mapping[Direction, Mapping[str, float]], config: EvaluateConfig) -> Section:
    """The figures of both directions, and which of them are not of all test pairs."""
    shown = {ARROWS[direction]: figures.grouped(flat) for direction, flat in metrics.items()}
    pairs = {ARROWS[direction]: flat["pairs"] for direction, flat in metrics.items()}
    labelled = any("class_consistency" in flat for flat in metrics.values())
    counts = config.retrieval_queries, config.kernel_pairs, config.waveforms
    sizes = figures.sample_sizes(round(max(pairs.values())), *counts)
    return _section("figures", "Figures", "measurements", directions=shown, pairs=pairs, labelled=labelled, sizes=sizes)


def learning(trainings: Sequence[tuple[str, str, Rows]]) -> Section:
    """The learning curve of every training, by stage and instance."""
    shown = [one for training in trainings for one in curves.learning(*training)]
    missing = [f"{stage} {instance}".strip() for stage, instance, rows in trainings if len(rows) < 2]
    return _section("learning", "Learning", "learning", curves=shown, missing=missing)


def codebooks(trainings: Mapping[str, Rows]) -> Section:
    """How much of its codebook each modality uses on valid."""
    shown = [one for modality, rows in trainings.items() for one in curves.codebook(modality, rows)]
    return _section("codebooks", "Codebook use", "codebooks", curves=shown)


def sampling(tables: Mapping[Direction, Mapping[str, Rows]]) -> Section:
    """Tables of what was tried, by what it is called: guidances on valid, numbers of candidates on test."""
    directions = {
        ARROWS[direction]: {
            "charts": [one for unit, some in tried.items() for one in curves.sweep(unit, some)],
            "columns": [one for one in (*curves.CONSISTENCIES, INFORMATION) if any(row.get(one) for row in rows)],
            "rows": rows,
        }
        for direction, tried in tables.items()
        for rows in [[row for some in tried.values() for row in some]]
    }
    return _section("sampling", "Guidance and re-ranking", "sampling", directions=directions)


def confidence(tables: Mapping[Direction, Rows]) -> Section:
    """Whether each direction is right as often as its confidence says."""
    directions = {
        ARROWS[direction]: {"charts": curves.reliability(rows), "rows": [row for row in rows if row["right"]]}
        for direction, rows in tables.items()
    }
    return _section("confidence", "Confidence", "confidence", directions=directions)


def examples(samples: Samples, context: ReportContext) -> Section:
    """Best, median and worst pairs of a direction, and some around the cycle."""
    ranks = {
        rank: [strips.outcome(samples, row, context) for row in rows]
        for rank, rows in strips.ranked(samples, context.config.shown).items()
    }
    first = range(min(context.config.shown, len(samples.ids)))
    cycles = [strips.cycle(samples, row, context) for row in first]
    labelled = all(context.classifiers.values())
    return _section(
        samples.direction, ARROWS[samples.direction], "examples", ranks=ranks, cycles=cycles, labelled=labelled
    )


def memorisation(both: Sequence[Samples], context: ReportContext) -> Section:
    """Nearest training targets of what was generated."""
    directions = {ARROWS[samples.direction]: _neighbours(samples, context) for samples in both}
    return _section("neighbours", "Is it memorising?", "memorisation", directions=directions)


def _section(name: str, title: str, template: str, **values: Any) -> Section:
    return Section(name, title, Markup(TEMPLATES.get_template(f"{template}.html.j2").render(values)))


def _neighbours(samples: Samples, context: ReportContext) -> dict[str, Any]:
    modality = target_of(samples.direction)
    classifier, train, among = context.classifiers[modality], context.train[modality], context.config.neighbours_among
    shows = {"generated": samples.generated, "real, through the tokenizer": samples.tokenized, "real": samples.real}
    every = torch.cat(list(shows.values()))  # train is passed once
    near = neighbours.nearest(classifier, train, modality, every, among)
    generated, *others = near.distances.chunk(len(shows))
    closest = generated.argsort(stable=True)[: context.config.neighbours].tolist()
    found = Nearest(near.rows[: len(generated)], generated)
    return {
        "ratios": [neighbours.ratio(generated, real, context.seed) for real in others],
        "labelled": classifier is not None,
        "among": min(among, len(train)),
        "targets": len(train),
        "charts": _cumulative(dict(zip(shows, (generated, *others), strict=True))),
        "strips": [strips.beside(samples, row, found, context) for row in closest],
    }


def _cumulative(distances: Mapping[str, Tensor]) -> list[Chart]:
    """Which fraction of targets lies within a distance of the training targets."""
    lines = []
    for number, (name, values) in enumerate(distances.items()):
        ordered = values.sort().values.tolist()
        lines.append(Line(name, ordered, [(rank + 1) / len(ordered) for rank in range(len(ordered))], colour=number))
    across = axis([0.0, *(value for line in lines for value in line.xs)])
    return chart("fraction of targets within a distance of train", lines, "distance", across)
