"""Calls can be read: few arguments are told apart by their places alone, a default is one that some calls use, and a
docstring stands alone.
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cycle_sound
from cycle_sound.app import cli
from cycle_sound.inference import export, hub
from cycle_sound.inference.engine import Engine
from cycle_sound.inference.system import CycleSound
from cycle_sound.params import OptimizerConfig

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("cycle_sound", "stages", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MOST_PLACES = 8
PUBLIC = {f"cycle_sound.{name}": f"{module}.{name}" for name, module in cycle_sound.MODULES.items()}
SHOWN = re.findall(r"^::: (\S+)", (ROOT / "docs/reference/python.md").read_text(encoding="utf-8"), re.MULTILINE)
DOCUMENTED = [PUBLIC.get(name, name) for name in SHOWN]
OPEN = (  # for whom nothing is known of all calls
    *("cycle_sound.app.", *DOCUMENTED),  # commands, and users
    *("cycle_sound.io.params_file.with_preset", "cycle_sound.models.contrastive.alignment"),  # tests
    *("cycle_sound.inference.hub.download", "benchmarks.untrained."),  # tests
    "cycle_sound.paths.transformer",  # alike for every kind of model
    "cycle_sound.report.neighbours._median_ratio",  # scipy
)

WRAPPED: dict[str, tuple[str, Callable[..., Any]]] = {  # command → what it calls, as it writes it
    "image": ("changes", cli.changes),
    "sound": ("system.sound_blocks", CycleSound.sound_blocks),
    "cycle": ("system.cycle", CycleSound.cycle),
    "export": ("exporting.export", export.export),
    "push_to_hub": ("hub.upload", hub.upload),
}
RENAMED = {("rerank", "candidates")}  # options of earlier versions


class Call(NamedTuple):
    """What a call gives to a function."""

    places: float  # so many arguments by their places; inf: all
    names: set[str]


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """By dotted name the functions of all modules, and those that make the objects of a class."""
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    yield f"{module}.{node.name}", inner


def places(function: ast.FunctionDef) -> list[str]:
    """The arguments that a call may give by their places."""
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def optional(function: ast.FunctionDef) -> list[str]:
    """The arguments that have a default."""
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    known = places(function)
    return known[len(known) - len(function.args.defaults) :] + [one.arg for one, default in named if default]


def calls() -> dict[str, list[Call]]:
    """What calls in all modules give, also by `partial`, to each function, by dotted name."""
    found: dict[str, list[Call]] = {}
    for module, tree in MODULES.items():
        nodes = [*ast.walk(tree)]
        known = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in nodes:
            if isinstance(node, ast.Call):
                function, *given = node.args if ast.unparse(node.func) == "partial" else [node.func, *node.args]
                first, _, rest = ast.unparse(function).partition(".")
                some = [one for one in given if not isinstance(one, ast.Starred)]  # of *words there may be none, or all
                named = {keyword.arg or "**" for keyword in node.keywords}
                told = {len(some), float("inf") if some != given else len(some)}
                name = f"{known.get(first, f'{module}.{first}')}.{rest}".rstrip(".")
                found.setdefault(name, []).extend(Call(count, named) for count in told)
    return found


CALLS = calls()


@pytest.mark.parametrize(
    ("name", "function"),
    [(name, one) for name, one in functions() if optional(one) and name in CALLS and not name.startswith(OPEN)],
)
def test_a_default_is_used_by_some_calls_and_not_by_all(name: str, function: ast.FunctionDef) -> None:
    for argument in optional(function):
        place = [*places(function), argument].index(argument)
        by_place = argument in places(function)
        given = {argument in call.names or (by_place and place < call.places) for call in CALLS[name]}
        assert given == {True, False}, f"{argument}: {'always' if True in given else 'never'} given"


def test_few_arguments_are_told_apart_by_their_places_alone() -> None:
    many = {name for name, function in functions() if len(places(function)) > MOST_PLACES}
    assert not {name for name in many if not name.startswith("cycle_sound.app.cli.")}  # whose arguments are options


@pytest.mark.parametrize("command", WRAPPED)
def test_an_option_has_the_name_of_the_keyword_that_it_is_given_to(command: str) -> None:
    written, wrapped = WRAPPED[command]
    tree = MODULES["cycle_sound.app.cli"]
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == command]
    known = [name for name in inspect.signature(wrapped).parameters if name != "self"]
    found = []
    for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
        called, *given = call.args if ast.unparse(call.func) == "partial" else [call.func, *call.args]
        if ast.unparse(called) == written:
            found += [*zip(known, given, strict=False), *((one.arg, one.value) for one in call.keywords)]
    pairs = {(value.id, keyword) for keyword, value in found if isinstance(value, ast.Name)}
    shared = {(option, keyword) for option, keyword in pairs if option in places(function)}
    assert len(shared) > 0
    assert {(option, keyword) for option, keyword in shared if option != keyword} <= RENAMED


def test_what_users_give_is_not_named_after_a_room_of_something_else() -> None:
    rooms = {path.parent.name for path in (ROOT / "cycle_sound").glob("*/__init__.py")} - {"models"}  # which are given
    for module in [name for name in MODULES if name.startswith("cycle_sound.inference.")]:
        for node in ast.walk(MODULES[module]):
            if isinstance(node, ast.FunctionDef):
                given = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
                assert not rooms & given, f"{module}.{node.name}"


def test_an_engine_takes_its_batch_size_by_the_name_that_settings_have() -> None:
    assert "batch_size" in inspect.signature(Engine).parameters
    assert "batch_size" in OptimizerConfig.model_fields


def test_a_docstring_says_what_it_is_of() -> None:
    found = [
        f"{module}.{node.name}: {text}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node))
        if text.startswith(("The same", "Those"))
    ]
    assert not found
