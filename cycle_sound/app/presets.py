"""Presets: other values for some keys of params.yaml, tried as an experiment or put into it."""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from cycle_sound.errors import ParamsError
from cycle_sound.io import files, params_file

PARAMS = Path("params.yaml")
REFUSED = "--preset-refused"  # no option of DVC's: of a command in $( ) a shell forgets that it failed, and would go on
WIDTH = 1 << 10  # characters of a line: none of it is broken in two


def values(name: str) -> dict[str, Any]:
    """A preset's values, by dotted key. Raises `ParamsError`, also where they do not fit the rest of params.yaml."""
    params_file.with_preset(params_file.load(PARAMS), name)  # or it is said here what is wrong with it, not by a stage
    return params_file.preset(name)


def options(name: str) -> list[str]:
    """A preset's values as options of `dvc exp run`: -S KEY=VALUE for each.

    Raises `ParamsError`, also for a value that a shell would take apart.
    """
    given = {key: _written(value) for key, value in values(name).items()}
    for key, text in given.items():
        if text.split() != [text]:
            raise ParamsError(f"{params_file.PRESETS / name}.yaml: {key}: {text!r} is not one word")
    return [option for key, text in given.items() for option in ("-S", f"{key}={text}")]


def write(name: str) -> None:
    """Put a preset's values into params.yaml, where all else, its comments too, stays as it is."""
    given, yaml = values(name), YAML()  # which keeps comments
    yaml.preserve_quotes, yaml.width = True, WIDTH
    tree = yaml.load(PARAMS.read_bytes())
    params_file.put(tree, {key: _in_form(reduce(getitem, key.split("."), tree), value) for key, value in given.items()})
    with files.replacing(PARAMS) as part, part.open("wb") as file:
        yaml.dump(tree, file)


def _in_form(old: Any, value: Any) -> Any:
    """A value as it is to stand in place of another one: a list in the old one's form, with the comment behind it."""
    if not (isinstance(old, CommentedSeq) and value):
        return value
    behind = old.ca.items.get(len(old) - 1)
    old.ca.items.clear()
    old[:] = value
    if behind:
        old.ca.items[len(old) - 1] = behind
    return old


def _written(value: Any) -> str:
    """A value as YAML without spaces."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
