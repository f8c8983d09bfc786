"""What models of other speakers are worth to fifty pairs of a new one: fine-tuned from them, and from nothing.

python -m benchmarks.finetuning FOLDER [--speaker theo] [--pairs 50] [--test 200] [--steps 300] [--base-steps 500]

FOLDER holds pairs as `data.source: folder` reads them, of ids LABEL_SPEAKER_…, such as spoken ↔ written digits. Base
models learn from all other speakers. Then both arms learn as many steps from the new speaker's few pairs, a fifth of
which choose: one from nothing, one from the base models, at the rates of presets/finetune.yaml. Both are tested on
other pairs of the new speaker, and so are the base models as they are, by classifiers and judges of the base data. The
minutes are those of this run, the evaluation's included: stopped, it goes on where it was.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks import pipeline, printing
from benchmarks.pipeline import ROOT, Level, Tree
from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.io import files, params_file
from cycle_sound.params import DIRECTIONS, MODALITIES

FOLDER = ROOT / paths.DATA / "finetuning_experiment"
LEARNING = (
    *("import_models", "train_vae", "finetune_decoder", "cache_tokens", "cache_features"),
    *("train_transformer", "train_cycle"),
)
BASE = ("download", "shard", *LEARNING, "train_classifier", "train_judge")
FIGURES = ("class_consistency", "class_consistency_judge", "cross_entropy", "cross_entropy_shuffled")
Row = dict[str, str]  # of labels.csv
PARTS = ("", "_low", "_high", "_floor", "_ceiling")


def main() -> None:
    """Run what has not run yet, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speaker", default="theo", help="who is new")
    parser.add_argument("--pairs", type=int, default=50, help="of the new speaker's to learn from")
    parser.add_argument("--test", type=int, default=200, help="other pairs of the new speaker")
    parser.add_argument("--steps", type=int, default=300, help="of each training in both arms")
    parser.add_argument("--base-steps", type=int, default=500, help="of each of the base models' trainings")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    learned, tested = few(rows(options.folder), options.speaker, options.pairs, options.test)
    others = [row for row in rows(options.folder) if speaker(row) != options.speaker]
    base, own = shared(options.folder, others, []), shared(options.folder, learned, tested)
    figures: dict[str, float] = {}
    for levels in experiments(base, own, options.steps, options.base_steps):
        begin = time.monotonic()
        pipeline.run(tree(), levels)
        arm = levels[-1].folder.name
        figures |= {f"{arm}_minutes": (time.monotonic() - begin) / 60} | dict(measured(arm, levels[-1].folder))
    printing.show(figures, options.json)


def rows(folder: Path) -> list[Row]:
    """The lines of labels.csv, by id."""
    return sorted(files.read_csv(folder / "labels.csv"), key=lambda row: row["id"])


def speaker(row: Row) -> str:
    """Who speaks, as the id says."""
    return row["id"].split("_")[1]


def few(table: Sequence[Row], name: str, pairs: int, test: int) -> tuple[list[Row], list[Row]]:
    """Of one speaker's groups, equally many of each label, so many pairs to learn from, and others to test on."""
    own = [row for row in table if speaker(row) == name]
    labels = sorted({row["label"] for row in own})
    learned: list[Row] = []
    tested: list[Row] = []
    for label in labels:
        groups = firsts((row for row in own if row["label"] == label), "group")
        learned += groups[: pairs // len(labels)]
        tested += groups[pairs // len(labels) :][: test // len(labels)]
    return learned, tested


def firsts(table: Iterable[Row], column: str) -> list[Row]:
    """The first line of each value of a column."""
    return list({row[column]: row for row in reversed([*table])}.values())


def shared(source: Path, train: Sequence[Row], test: Sequence[Row]) -> Path:
    """A folder of links to some pairs of another one; of no test pairs the first of each label of train.

    It is named by what it holds, so that no run measures what another one has chosen.
    """
    test = test or firsts(train, "label")
    kept = {row["group"] for row in test}
    splits = {"train": [row for row in train if row["group"] not in kept], "test": test}
    table = [{**row, "split": split} for split, some in splits.items() for row in some]
    chosen = json.dumps([str(source.resolve()), table])
    folder = FOLDER / "pairs" / hashlib.sha256(chosen.encode()).hexdigest()[:12]
    for split, row in ((split, row) for split, some in splits.items() for row in some):
        for kind in ("jpg", "mp3"):
            link = folder / f"{split}_data/{row['id']}.{kind}"
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.symlink((source / f"{row['split']}_data" / link.name).resolve(), link)
    if not (folder / "labels.csv").exists():  # another time would be another file, of which a download is not kept
        files.write_csv(folder / "labels.csv", table)
    return folder


def tree() -> Tree:
    """The parameters of all levels: the committed ones, and of what is not compared little."""
    made = pipeline.tree("cycle")
    params_file.put(made, {"cycle.rounds": 0, "data.source": "folder", "data.max_rejected": 1.0})
    pipeline.make_absolute(made, parameters.parse(made))
    return made


def experiments(base: Path, own: Path, steps: int, base_steps: int) -> Iterator[list[Level]]:
    """The levels around each evaluation, from the outermost one on, FOLDER/own/ARM, of two folders of pairs."""
    finetune, models = params_file.preset("finetune", ROOT / params_file.PRESETS), str(FOLDER / paths.DATA)
    trained = [f"vae.{one}" for one in MODALITIES] + [f"transformer.{one}" for one in DIRECTIONS]
    of_base = {"data.folder.path": str(base), **every(trained, base_steps)}
    of_own = {"data.folder.path": str(own), "data.valid_share": 0.2}
    around = [Level(FOLDER, BASE, of_base), Level(FOLDER / "own", ("download", "shard"), of_own)]
    yield [*around, Level(FOLDER / "own/base", ("evaluate",), {})]
    yield [*around, Level(FOLDER / "own/nothing", (*LEARNING, "evaluate"), every(trained, steps))]
    inits = {f"init.{one}": models for one in trained}
    rates = {f"{one}.optimizer.learning_rate": finetune[f"{one}.optimizer.learning_rate"] for one in trained}
    values = {**every(trained, steps), **inits, **rates}
    yield [*around, Level(FOLDER / "own/finetuned", (*LEARNING, "evaluate"), values)]


def every(trained: Sequence[str], steps: int) -> dict[str, int]:
    """So many steps of each training, and four validations."""
    parts = {"steps": steps, "valid_every": max(1, steps // 4)}
    return {f"{one}.optimizer.{name}": value for one in trained for name, value in parts.items()}


def measured(arm: str, folder: Path) -> Iterator[tuple[str, float]]:
    """The figures of both directions, with interval, floor and ceiling."""
    for direction in DIRECTIONS:
        found = YAML(typ="safe").load(folder / paths.metrics("evaluate", direction))
        for name in (f"{name}{part}" for name in FIGURES for part in PARTS):
            if name in found:
                yield f"{arm}_{direction}_{name}", found[name]


if __name__ == "__main__":
    main()
