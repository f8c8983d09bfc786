"""What each stage takes with a preset: seconds, seconds of processor time, and the most memory of its largest process.

python -m benchmarks.stages tiny [--json]
python -m benchmarks.stages vggsound --steps 10 [--batch 4] [--json]

With `--steps` the models have the preset's sizes and batches, but the counts of clips are those of `tiny` and its toy
orchestra, at the preset's lengths and resolutions, and every training takes so many steps: whether a machine holds the
models. Where there is a GPU, the most of its memory that PyTorch has allotted in one process is told, too. A `--batch`
of a few pairs shows on a machine that does not hold the preset's, such as one without a GPU, that all stages run, but
not what they would take.
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
from cycle_sound.io import params_file

COUNTS = ("data.synthetic.", "data.valid_share", "shard.", "tokens.", "sweep.", "evaluate.", "report.")
SCHEDULE = (".optimizer.steps", ".optimizer.warmup", ".optimizer.valid_every")
PEAK = """
import atexit
import sys


def tell():
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        with open({path!r}, "a") as file:
            file.write(f"{{torch.cuda.max_memory_allocated()}}\\n")


atexit.register(tell)
"""  # Python imports a module sitecustomize when it starts: also in the processes that a launcher starts


class Cost(NamedTuple):
    """Of a process and of those that it has waited for."""

    seconds: float
    processor_seconds: float
    gigabytes: float  # of the largest of them
    gpu_gigabytes: float  # allotted by the one of them that was allotted most; 0 without a GPU


def main() -> None:
    """Run all stages, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--steps", type=int, help="of every training, on a few clips")
    parser.add_argument("--batch", type=int, help="pairs a step instead of the preset's; needs --steps")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.batch and options.steps is None:
        parser.error("--batch needs --steps")
    with tempfile.TemporaryDirectory() as folder:
        tree = YAML(typ="safe").load(ROOT / "params.yaml")
        params_file.put(tree, values(options.preset, options.steps, options.batch))
        parameters.parse(tree)
        YAML().dump(tree, Path(folder) / "params.yaml")
        costs = {}
        for command in (one for stage in STAGES for one in pipeline.commands(stage, tree)):
            name = command.name.replace(" ", "_")
            costs[name] = cost(command.words, Path(folder))
            told = (f"{field} {value:.3g}" for field, value in costs[name]._asdict().items())
            print(name, *told, sep="\t", flush=True)
    totals = {
        "seconds": sum(one.seconds for one in costs.values()),
        "processor_seconds": sum(one.processor_seconds for one in costs.values()),
        "gigabytes": max(one.gigabytes for one in costs.values()),
        "gpu_gigabytes": max(one.gpu_gigabytes for one in costs.values()),
    }
    figures = {f"{name}_{field}": value for name, one in costs.items() for field, value in one._asdict().items()}
    printing.show(figures | totals, options.json)


def values(preset: str, steps: int | None, batch: int | None) -> dict[str, Any]:
    """A preset's values, by dotted key; with `steps`, of few clips and so many steps of every training.

    Perhaps of another `batch`.
    """
    given = params_file.preset(preset, ROOT / params_file.PRESETS)
    if steps is None:
        return given
    tiny = params_file.preset("tiny", ROOT / params_file.PRESETS)
    few = {key: value for key, value in tiny.items() if key.startswith(COUNTS) or key.endswith(SCHEDULE)}
    trained = [key.removesuffix(".steps") for key in few if key.endswith("optimizer.steps")]
    few |= {f"{one}.steps": steps for one in trained}
    if batch:
        few |= {
            f"{one}.{name}": value for one in trained for name, value in (("batch_size", batch), ("accumulation", 1))
        }
    untrained = {key: value for key, value in tiny.items() if key.endswith("min_usage")}
    return given | few | untrained | {"data.source": "synthetic", "loader.workers": 1}


def cost(words: list[str], folder: Path) -> Cost:
    """Run a command in a folder. Ends with its code where it fails."""
    with tempfile.TemporaryDirectory() as hooks:
        peaks = Path(hooks) / "peaks"
        (Path(hooks) / "sitecustomize.py").write_text(PEAK.format(path=str(peaks)), encoding="utf-8")
        begin = time.perf_counter()
        around = os.environ | {"PYTHONPATH": os.pathsep.join([hooks, str(ROOT)])}
        process = subprocess.Popen(words, cwd=folder, env=around)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        if code := os.waitstatus_to_exitcode(status):
            raise SystemExit(code)
        allotted = max(map(int, peaks.read_text().split())) if peaks.exists() else 0
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, allotted / 1e9)


if __name__ == "__main__":
    main()
