"""Stages run in nested folders, each with the parameters and the outputs of those around it, as experiments need them.

Stopped, it goes on where it was: what the same code made of the same by the same parameters is kept.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple, get_args

from ruamel.yaml import YAML

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.inference import confidence
from cycle_sound.io import code, files, params_file
from cycle_sound.params import DIRECTIONS, Config

ROOT = Path(__file__).resolve().parents[1]
# In an order in which they can run.
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

IS_PATH = get_args(parameters.File)[1]  # what tells a path from other text in the schema of parameters

Tree = dict[str, Any]  # of params.yaml


class Level(NamedTuple):
    """A folder like a project's, which has from the one around it whatever its own stages do not make."""

    folder: Path
    stages: Sequence[str]
    values: dict[str, Any]  # of its parameters, by dotted key, beside those of the levels around it


class Command(NamedTuple):
    """What runs an instance of a stage."""

    module: str
    name: str
    words: list[str]
    settings: dict[str, Any]  # the parameters that it reads


def tree(preset: str) -> Tree:
    """The committed params.yaml with the values of a preset."""
    made = YAML(typ="safe").load(ROOT / "params.yaml")
    params_file.put(made, params_file.preset(preset, ROOT / params_file.PRESETS))
    return made


def make_absolute(tree: Tree, config: Config) -> None:
    """Let the paths in a section of parameters, of which `config` is the typed one, lead from any folder to one place.

    Relative ones start at the project's root, `~` at the user's home.
    """
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            make_absolute(tree[name], value)
        elif value and IS_PATH in field.metadata:
            tree[name] = str(ROOT / value)


def run(tree: Tree, levels: Sequence[Level]) -> None:
    """Run the stages of nested levels, each unless it was run by this code and these parameters after the same ones.

    A download runs again, too, where a file of its source has another size or time, is new, or is gone.
    """
    tree, identity, around = copy.deepcopy(tree), "", levels[0].folder
    root = around.parent
    for direction in DIRECTIONS:  # which nothing here compares
        confidence.save(paths.confidence(direction, around / paths.DATA), None)
    for level in levels:
        params_file.put(tree, level.values)
        inherit(level, around)
        YAML().dump(tree, level.folder / "params.yaml")
        for command in (one for stage in level.stages for one in commands(stage, tree)):
            known = states(tree) if command.module == "stages.download" else []
            identity = code.identity(command.module, command.settings, identity, known)
            receipt = level.folder / "done" / command.name
            if not (receipt.is_file() and receipt.read_text() == identity):
                print(f"{level.folder.relative_to(root)}: {command.name}", flush=True)
                environment = os.environ | {"PYTHONPATH": str(ROOT)}
                subprocess.run(command.words, cwd=level.folder, env=environment, check=True)
                files.write_bytes(receipt, identity.encode())
        around = level.folder


def states(tree: Tree) -> list[list[Any]]:
    """Name, size in bytes and time in ns of every file that data.source reads, links followed: JSON.

    But for the folder of VGGSound's clips, which a download itself fills.
    """
    section = getattr(parameters.parse(tree).data, tree["data"]["source"])
    own = [name for name, field in type(section).model_fields.items() if IS_PATH in field.metadata]
    named = [Path(path) for name in own if (path := getattr(section, name))]
    if tree["data"]["source"] == "vggsound":
        named.remove(Path(section.path))
    found = {path for root in named for path in (root, *root.rglob("*")) if path.is_file()}
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(found)]


def inherit(level: Level, around: Path) -> None:
    """Make a level's folder, with links to what it has from the one around it."""
    outs = [
        next(iter(out)) if isinstance(out, dict) else out for stage in level.stages for out in STAGES[stage]["outs"]
    ]
    own = {Path(out).parts[1] for out in outs} | {paths.WORK.name}
    data = level.folder / paths.DATA
    data.mkdir(parents=True, exist_ok=True)
    for one in (around / paths.DATA).iterdir():
        if one.name not in own and not (data / one.name).exists():
            (data / one.name).symlink_to(one)


def commands(stage: str, tree: Tree) -> Iterator[Command]:
    """How each instance of a stage is run, as dvc.yaml says."""
    spec = STAGES[stage]
    ((item, words),) = spec.get("matrix", {"": [""]}).items()
    for word in words:
        known = {f"item.{item}": word, "launcher": tree["launcher"], "data.source": tree["data"]["source"]}

        def filled(text: str, known: dict[str, str] = known) -> str:
            return reduce(lambda done, name: done.replace(f"${{{name}}}", known[name]), known, text)

        command = [sys.executable if part == "python" else part for part in filled(spec["cmd"]).split()]
        settings = {key: reduce(getitem, key.split("."), tree) for key in map(filled, spec["params"])}
        yield Command(f"stages.{stage}", f"{stage} {word}".strip(), command, settings)
