"""The code that a module runs, read from its source without running it: the one notion of the same code.

`make dvc.yaml` lists these files as dependencies; interrupted work resumes only if they are unchanged.
"""

import ast
import hashlib
import json
from collections.abc import Set
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from cycle_sound.io import files, names

ROOT = Path(__file__).resolve().parents[2]  # of this very package, wherever the process runs
PACKAGES = ("cycle_sound", "stages")
UNDECLARED = {  # what changes no result: DVC follows the values of params; the others are names and words
    *("cycle_sound", "cycle_sound.params", "cycle_sound.paths", "cycle_sound.errors", "stages"),
    *("cycle_sound.io.progress", "cycle_sound.io.interrupts", "cycle_sound.io.stage", "cycle_sound.io.code"),
    "cycle_sound.io.params_file",
    "cycle_sound.acquisition.restoring",  # files have the manifest's SHA-256 however they came back, or are not read
}
LEFT = ("Thumbs.db", "desktop.ini")  # by Windows
VERSIONS = ("torch", "numpy", "librosa", "Pillow", "scipy", "soundfile", "soxr", "av")  # packages that compute results


@cache
def modules() -> dict[str, Path]:
    """Every module of the project: dotted name → file."""
    return {
        _name(path): path for folder in PACKAGES for path in sorted(lying_in(ROOT / folder)) if path.suffix == ".py"
    }


@cache
def parsed(module: str) -> ast.Module:
    """The syntax tree of a module. Raises KeyError for none of the project's."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> dict[str, str]:
    """What a module imports of the project, anywhere in it: local name → dotted name of a module or of what is in it.

    What stands under `if TYPE_CHECKING` never runs, and does not count.
    """
    names: dict[str, str] = {}
    todo: list[ast.AST] = [parsed(module)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        todo.extend([] if typed else ast.iter_child_nodes(node))
    return {local: name for local, name in names.items() if name.split(".")[0] in PACKAGES}


def module_of(name: str) -> str:
    """The module that a dotted name stands for or lies in."""
    return name if name in modules() else name.rpartition(".")[0]


def edges(module: str) -> set[str]:
    """The modules that a module names in its imports."""
    return {module_of(name) for name in imported(module).values()} - {module}


def closure(module: str, ends: Set[str]) -> set[str]:
    """All modules that importing a module runs, itself among them: packages run before what lies in them.

    What a module of `ends` imports is not followed.
    """
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= todo
        packages = {name.rpartition(".")[0] for name in todo} & modules().keys()
        todo = (packages | {name for module in todo - ends for name in edges(module)}) - found
    return found


def reached(module: str) -> list[Path]:
    """The files, relative to the project's root, that decide what a module computes.

    Those of all modules that it runs, but for the UNDECLARED ones, for what these alone import and for packages that
    hold a docstring alone; and what lies beside the modules of a package that one of them names in a string, such as
    templates.
    """
    names = {
        name for name in closure(module, UNDECLARED) - UNDECLARED if len(parsed(name).body) > 1 or not _is_package(name)
    }
    beside = [path for package in _named_packages(names) for path in _beside(package)]
    return sorted(path.relative_to(ROOT) for path in {*beside, *(modules()[name] for name in names)})


def lying_in(folder: Path) -> list[Path]:
    """The files in a folder and below that somebody has put there.

    Not what Python compiles, nor what file managers, editors and notebooks leave behind, which .dvcignore names, too.
    """
    return [path for path in folder.rglob("*") if path.is_file() and not _is_left(path.relative_to(folder))]


def digest(module: str) -> str:
    """SHA-256 of the files that a module reaches, with their names, and of the VERSIONS it runs on."""
    contents = {path.as_posix(): files.digest(ROOT / path) for path in reached(module)}
    versions = {name: metadata.version(name) for name in VERSIONS}
    return hashlib.sha256(json.dumps([contents, versions]).encode()).hexdigest()


def identity(module: str, *parts: Any) -> str:
    """What a result depends on, as one SHA-256: `parts` (JSON), the code that a module reaches and the versions.

    Work that was interrupted is resumed only under the same identity.
    """
    return hashlib.sha256(json.dumps([parts, digest(module)], sort_keys=True).encode()).hexdigest()


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_package(module: str) -> bool:
    return modules()[module].name == "__init__.py"


def _named_packages(names: set[str]) -> set[str]:
    """The packages inside the project's that modules name in strings."""
    strings = {node.value for name in names for node in ast.walk(parsed(name)) if isinstance(node, ast.Constant)} - {
        *PACKAGES
    }
    return {name for name in modules() if name in strings and _is_package(name)}


def _beside(package: str) -> list[Path]:
    return [path for path in lying_in(modules()[package].parent) if path.suffix != ".py"]


def _is_left(path: Path) -> bool:
    return names.is_hidden(path) or path.suffix == ".pyc" or path.name.endswith("~") or path.name in LEFT
