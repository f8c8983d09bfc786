"""What pictures and sounds without partners are worth by cycle training: shares of the pairs, with it and without.

python -m benchmarks.cycle [--folder PAIRS] [--shares 0.02 0.1 1] [--seeds 3]

The data are those of params.yaml, or a folder of pairs, the sizes those of presets/cycle.yaml. VAEs, classifiers and
judges learn once, from everything. Of each share transformers learn from the pairs that are left, and then as many
steps from these alone as in cycle training; the smallest share by several seeds. With all pairs both are the same. What
was measured stands in metrics/plots/cycle_DIRECTION.csv, in place of rows of the same data, share, seed and arm; other
rows stay, such as those of another machine. A picture shows each set of data. Stopped, it goes on where it was: what
the same code made of the same by the same parameters is kept.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from benchmarks import pipeline
from benchmarks.pipeline import ROOT, Level, Tree
from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.io import files, params_file
from cycle_sound.media.spectrogram import save
from cycle_sound.params import DIRECTIONS, Direction, source_of, target_of

FOLDER = ROOT / paths.DATA / "cycle_experiment"
FIGURES = (
    *("class_consistency", "class_consistency_low", "class_consistency_high"),
    *("pitch_hue_correlation", "cross_entropy", "frechet_distance"),
)

Row = dict[str, Any]  # of a table


def main() -> None:
    """Run what has not run yet, and write what has been measured after each evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of pairs, as data.source: folder reads them")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.1, 1.0])
    parser.add_argument("--seeds", type=int, default=3, help="of the smallest share; the others have one")
    options = parser.parse_args()
    tree = pipeline.tree("cycle")
    if options.folder:
        folder = options.folder.expanduser().absolute()
        params_file.put(tree, {"data.source": "folder", "data.folder.path": str(folder)})
    pipeline.make_absolute(tree, parameters.parse(tree))
    if fault := taken(tree):
        parser.error(fault)
    measured: list[Path] = []
    for levels in experiments(tree, sorted(options.shares), options.seeds):
        pipeline.run(tree, levels)
        measured.append(levels[-1].folder)
        write(measured)


def write(measured: Sequence[Path]) -> None:
    """Write the tables, and the picture of the data, with what has been measured so far, in a folder each."""
    data, tables = measured[0].relative_to(FOLDER).parts[0], {}
    for direction in DIRECTIONS:
        path = ROOT / paths.settings("cycle", direction)
        table = merged(files.read_csv(path) if path.is_file() else [], list(rows(direction, measured)))
        files.write_csv(path, table)
        tables[direction] = [{name: number(name, value) for name, value in row.items()} for row in table]
    chart(ROOT / paths.PLOTS / f"cycle_{data}.png", data, tables)


def merged(before: Sequence[Row], measured: Sequence[Row]) -> list[Row]:
    """A table with the rows that were measured, and those before of other data, shares, seeds and arms."""

    def place(row: Row) -> tuple[Any, ...]:
        return (
            row["data"],
            float(f"{float(row['share']):.6g}"),
            int(row["seed"]),
            int(row["cycle"]),
        )  # digits as in files

    def arm(row: Row) -> tuple[Any, ...]:
        return *place(row)[:-1], int(row["cycle"]) > 0

    replaced = {arm(row) for row in measured}
    return sorted([*(row for row in before if arm(row) not in replaced), *measured], key=place)


def number(name: str, value: Any) -> Any:
    """A value in a column of a table as a number, if it is one: not the name of the data, nor what is empty."""
    return value if name == "data" or value == "" else float(value)


def name_of(tree: Tree) -> str:
    """By which the data are known in the tables: the folder's name; of the toy orchestra `synthetic`."""
    source = tree["data"]["source"]
    return Path(tree["data"][source].get("path", source)).name


def taken(tree: Tree) -> str:
    """Why the data cannot have their name, in whose place rows of other data would be replaced; "" if they can."""
    source, name = tree["data"]["source"], name_of(tree)
    path = FOLDER / name / "params.yaml"
    before = YAML(typ="safe").load(path)["data"] if path.is_file() else tree["data"]
    of = before[before["source"]].get("path", before["source"])
    is_toys = source != "synthetic" and name == "synthetic"
    if is_toys or (before["source"], of) != (source, tree["data"][source].get("path", source)):
        return f"{name}: rows of this name are of {'the toy orchestra' if is_toys else of}: rename the folder"
    return ""


def experiments(tree: Tree, shares: Sequence[float], seeds: int) -> Iterator[list[Level]]:
    """The levels around each evaluation, from the outermost one on: FOLDER/DATA/SHARE/SEED/ROUNDS.

    One seed of every share comes before the others of the smallest: what is stopped has something to show.
    """
    first, rounds = tree["seed"], tree["cycle"]["rounds"]
    folder = FOLDER / name_of(tree)
    shared = ("download", "shard", "train_vae", "finetune_decoder", "train_classifier", "train_judge")
    seeded = [*((first, share) for share in shares), *((first + more, shares[0]) for more in range(1, seeds))]
    for seed, share in seeded:
        paired = folder / f"{share:g}"
        levels = [
            Level(folder, shared, {"data.paired_share": 1.0}),
            Level(paired, ("shard", "cache_tokens", "cache_features"), {"data.paired_share": share}),
            Level(paired / f"{seed}", ("train_transformer",), {"seed": seed}),
        ]
        for taught in (0, rounds) if share < 1 else (0,):
            values = {} if taught else {"cycle.lone_share": 0.0}
            yield [*levels, Level(paired / f"{seed}/{taught}", ("train_cycle", "evaluate"), values)]


def rows(direction: Direction, measured: Sequence[Path]) -> Iterator[Row]:
    """What was measured of a direction, by data, share, rounds of the cycle and seed; without labels some is empty."""
    for folder in measured:
        data, share, seed, rounds = folder.relative_to(FOLDER).parts
        figures = YAML(typ="safe").load(folder / paths.metrics("evaluate", direction))
        keys = {"data": data, "share": float(share), "cycle": int(rounds), "seed": int(seed)}
        yield {**keys, **{name: figures.get(name, "") for name in FIGURES}}


def chart(path: Path, data: str, tables: dict[Direction, list[Row]]) -> None:
    """Class consistency and cross-entropy by the share of pairs, with the cycle and without, of both directions."""
    shown = {"class_consistency": "class consistency", "cross_entropy": "cross-entropy, nats per code"}
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(len(shown), len(DIRECTIONS), squeeze=False)
    for (line, name), (column, direction) in product(enumerate(shown), enumerate(DIRECTIONS)):
        some = [row for row in tables[direction] if row["data"] == data and row[name] != ""]
        draw(axes[line][column], some, name)
        axes[line][column].set_ylabel(shown[name])
        if name == "class_consistency":
            axes[line][column].set_ylim(0, 1.05)
        shares = sorted({row["share"] for row in some})  # in words: the default's powers of ten would be markup
        axes[line][column].set_xticks(shares, [f"{share:g}" for share in shares])
        axes[line][column].minorticks_off()
        axes[0][column].set_title(f"{source_of(direction)} → {target_of(direction)}")
        axes[-1][column].set_xlabel("fraction of the training clips that keep their pair")
    axes[0][0].legend(loc="lower right")
    figure.suptitle(f"Cycle training on clips without partners: {data}")
    save(figure, path)


def draw(axes: Axes, table: Sequence[Row], name: str) -> None:
    """A figure by share: each training with its interval, and the means over seeds, joined."""
    for label, marker, taught in (("pairs alone", "o", False), ("with the cycle", "s", True)):
        kept = [row for row in table if (row["cycle"] > 0) == taught or row["share"] == 1]
        shares = sorted({row["share"] for row in kept})
        means = [sum(found) / len(found) for found in ([r[name] for r in kept if r["share"] == one] for one in shares)]
        (line,) = axes.plot(shares, means, marker=marker, label=label)
        for row in (one for one in kept if f"{name}_low" in one):
            ends = [row[f"{name}_low"], row[f"{name}_high"]]
            axes.plot([row["share"]] * 2, ends, color=line.get_color(), alpha=0.4, linewidth=3)
    axes.set_xscale("log")


if __name__ == "__main__":
    main()
