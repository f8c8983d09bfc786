"""Charts of the tables that the stages write: learning, codebook use, ways to draw."""

from collections.abc import Mapping, Sequence

from cycle_sound.report.charts import Line, chart, names

Rows = Sequence[Mapping[str, str]]  # of a CSV file
LEARNING = {  # stage: the unit of its losses, and the columns that are shown with their names
    "train_vae": ("squared error", {"train_error": "train, relaxed", "valid_loss": "valid, hard"}),
    "train_classifier": ("cross-entropy", {"train_loss": "train", "valid_loss": "valid"}),
    "train_transformer": (
        "nats per token",
        {"train_cross_entropy": "train", "valid_loss": "valid", "valid_shuffled": "valid, sources shuffled"},
    ),
}
CONSISTENCIES = {"class_consistency": "class", "cycle_consistency": "cycle"}


def learning(stage: str, instance: str, rows: Rows) -> str:
    """The learning curve of one training. Empty where there was nothing to learn."""
    unit, columns = LEARNING[stage]
    if len(rows) < 2:
        return ""
    lines = [_line(rows, column, name, number) for number, (column, name) in enumerate(columns.items())]
    return chart(f"{stage} {instance}: {unit}", lines, "steps")


def codebook(modality: str, rows: Rows) -> str:
    """The share of the codes that valid uses, and their perplexity, over the training of a VAE."""
    usage = _line(rows, "valid_usage", "share of codes used", 0)
    perplexity = _line(rows, "valid_perplexity", "perplexity", 1)
    return chart(f"{modality}: codes used", [usage], "steps") + chart(
        f"{modality}: perplexity of the codes", [perplexity], "steps"
    )


def trials(kind: str, below: str, splits: Mapping[str, Rows]) -> str:
    """Class and cycle consistency by settings of a kind, such as `guidance 2`; without labels nats alone."""
    chosen = {split: [row for row in rows if row["setting"].startswith(kind)] for split, rows in splits.items()}
    settings = [row["setting"].removeprefix(kind).strip() for row in chosen["test"]]
    labelled = "class_consistency" in next(iter(chosen["test"]), {})
    columns = CONSISTENCIES if labelled else {"explained": "explained"}
    lines = [
        _setting(chosen[split], column, f"{name}, {split}", number)._replace(dashed=split == "valid")
        for number, (column, name) in enumerate(columns.items())
        for split in splits
        if all(column in row for row in chosen[split])
    ]
    unit = "consistency" if labelled else "nats explained"
    return chart(f"{unit} by {below}", lines, below, names(settings))


def _setting(rows: Rows, column: str, name: str, colour: int) -> Line:
    values = [float(row[column]) for row in rows]
    lows, highs = (
        [float(row[f"{column}{end}"]) for row in rows if f"{column}{end}" in row] for end in ("_low", "_high")
    )
    banded = name.endswith("test")
    return Line(name, range(len(rows)), values, lows if banded else (), highs if banded else (), colour=colour)


def _line(rows: Rows, column: str, name: str, colour: int) -> Line:
    kept = [row for row in rows if row.get(column)]
    return Line(name, [float(row["step"]) for row in kept], [float(row[column]) for row in kept], colour=colour)
