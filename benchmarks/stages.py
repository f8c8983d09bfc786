"""What each stage takes with a preset: seconds, seconds of processor time, and the most memory of its largest process.

python -m benchmarks.stages tiny [--json]
python -m benchmarks.stages vggsound --steps 10 [--json]

With `--steps` the models have the preset's sizes, but all counts are those of `tiny` and its toy orchestra, at the
preset's lengths and resolutions, and every training takes so many steps: whether a machine holds the models.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from benchmarks import pipeline, printing
from benchmarks.pipeline import ROOT, STAGES
from cycle_sound import params as parameters

COUNTS = ("data.synthetic.", "data.valid_share", "shard.", "tokens.", "sweep.", "evaluate.", "report.")


class Cost(NamedTuple):
    """Of a process and of those that it has waited for."""

    seconds: float
    processor_seconds: float
    gigabytes: float  # of the largest of them


def main() -> None:
    """Run all stages, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--steps", type=int, help="of every training, on a few clips")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = YAML(typ="safe").load(ROOT / "params.yaml")
        parameters.put(tree, values(options.preset, options.steps))
        parameters.parse(tree)
        YAML().dump(tree, Path(folder) / "params.yaml")
        costs = {}
        for command in (one for stage in STAGES for one in pipeline.commands(stage, tree)):
            name = command.name.replace(" ", "_")
            costs[name] = cost(command.words, Path(folder))
            print(
                name, *(f"{field} {value:.3g}" for field, value in costs[name]._asdict().items()), sep="\t", flush=True
            )
    totals = {
        "seconds": sum(one.seconds for one in costs.values()),
        "processor_seconds": sum(one.processor_seconds for one in costs.values()),
        "gigabytes": max(one.gigabytes for one in costs.values()),
    }
    figures = {f"{name}_{field}": value for name, one in costs.items() for field, value in one._asdict().items()}
    printing.show(figures | totals, options.json)


def values(preset: str, steps: int | None) -> dict[str, Any]:
    """A preset's values, by dotted key; with `steps`, of few clips and so many steps of every training."""
    given = parameters.preset(preset, ROOT / parameters.PRESETS)
    if steps is None:
        return given
    tiny = parameters.preset("tiny", ROOT / parameters.PRESETS)
    few = {key: value for key, value in tiny.items() if key.startswith(COUNTS) or ".optimizer." in key}
    few |= {key: steps for key in few if key.endswith("optimizer.steps")}
    untrained = {key: value for key, value in tiny.items() if key.endswith("min_usage")}
    return given | few | untrained | {"data.source": "synthetic", "loader.workers": 1}


def cost(words: list[str], folder: Path) -> Cost:
    """Run a command in a folder. Ends with its code where it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen(words, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(code)
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


if __name__ == "__main__":
    main()
