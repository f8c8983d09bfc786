"""Charts of the tables that the stages write: learning, codebook use, sampling settings."""

from collections.abc import Mapping, Sequence

from cycle_sound.report.charts import Chart, Line, categories, chart

Rows = Sequence[Mapping[str, str]]  # of a CSV file
_GENERATOR = (
    "nats per code",
    {"train_cross_entropy": "train", "valid_loss": "valid", "valid_shuffled": "valid, sources shuffled"},
)
LEARNING = {  # stage: the unit of its losses, and the columns that are shown with their names
    "train_vae": ("squared error", {"train_error": "train, relaxed", "valid_loss": "valid, hard"}),
    "finetune_decoder": (
        "loss",
        {"train_feature_matching": "feature matching", "train_discriminator": "discriminator"},
    ),
    "train_vocoder": ("loss", {"train_loss": "train", "valid_loss": "valid"}),
    "train_classifier": ("cross-entropy", {"train_loss": "train", "valid_loss": "valid"}),
    "train_judge": ("cross-entropy", {"train_loss": "train", "valid_loss": "valid"}),
    "train_transformer": _GENERATOR,
    "train_cycle": _GENERATOR,
}
RIGHT = ("right", "right_low", "right_high")
INFORMATION = "pointwise_mutual_information"
CONSISTENCIES = {
    "class_consistency": "class",
    "class_consistency_judge": "class, by the judge",
    "cycle_consistency": "cycle",
}


def learning(stage: str, instance: str, rows: Rows) -> list[Chart]:
    """The learning curve of one training. None where there was nothing to learn."""
    unit, columns = LEARNING[stage]
    if len(rows) < 2:
        return []
    lines = [_line(rows, column, name, number) for number, (column, name) in enumerate(columns.items())]
    return chart(f"{stage} {instance}".strip() + f": {unit}", lines, "steps")


def codebook(modality: str, rows: Rows) -> list[Chart]:
    """The fraction of the codes that valid uses, and their perplexity, over the training of a VAE."""
    usage = _line(rows, "valid_usage", "fraction of codes used", 0)
    perplexity = _line(rows, "valid_perplexity", "perplexity", 1)
    return [
        *chart(f"{modality}: codes used", [usage], "steps"),
        *chart(f"{modality}: perplexity of the codes", [perplexity], "steps"),
    ]


def sweep(unit: str, rows: Rows) -> list[Chart]:
    """Class and cycle consistency by settings such as `guidance 2` or `best of 4`; without labels nats alone."""
    labelled = any(row.get("class_consistency") for row in rows)
    columns = CONSISTENCIES if labelled else {INFORMATION: "pointwise mutual information"}
    lines = [_setting(rows, column, name, number) for number, (column, name) in enumerate(columns.items())]
    settings = [row["setting"].rpartition(" ")[2] for row in rows]
    return chart(f"{'consistency' if labelled else 'nats'} by {unit}", lines, unit, categories(settings))


def reliability(rows: Rows) -> list[Chart]:
    """How often samples are right, by how confident the model is in them, beside the diagonal of perfect calibration.

    None where there was no confidence.
    """
    filled = [row for row in rows if row["right"]]
    lines = [
        _calibration([row for row in filled if row["setting"] == setting], setting, number)
        for number, setting in enumerate(dict.fromkeys(row["setting"] for row in filled))
    ]
    if not lines:
        return []
    diagonal = Line("calibrated", [0, 1], [0, 1], colour=2)
    return chart("fraction right by confidence", [*lines, diagonal], "confidence")


def _calibration(rows: Rows, name: str, colour: int) -> Line:
    """A line over the bins of confidence that hold samples, with its band."""
    xs, ys, lows, highs = ([float(row[column]) for row in rows] for column in ("confidence", *RIGHT))
    return Line(name, xs, ys, lows, highs, colour=colour)


def _setting(rows: Rows, column: str, name: str, colour: int) -> Line:
    """A line over settings, with its band where there are intervals; empty where nothing was measured."""
    values, lows, highs = (
        [float(row[column + end]) for row in rows if row.get(column + end)] for end in ("", "_low", "_high")
    )
    return Line(name, range(len(values)), values, lows, highs, colour=colour)


def _line(rows: Rows, column: str, name: str, colour: int) -> Line:
    kept = [row for row in rows if row.get(column)]
    return Line(name, [float(row["step"]) for row in kept], [float(row[column]) for row in kept], colour=colour)
