"""dvc.yaml tells the truth: each stage declares the code it reaches, the parameters it reads, the files it names."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cycle_sound import paths
from cycle_sound.params import DIRECTIONS, MODALITIES

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
UNDECLARED = {"cycle_sound", "cycle_sound.params", "cycle_sound.paths"}  # dvc follows the values of params; the others
# are names alone
APART = {  # module: what it must not reach, so that the floors stay apart
    "cycle_sound.transformer": {"cycle_sound.dvae", "cycle_sound.shards"},
    "cycle_sound.sampling": {"cycle_sound.dvae"},
    "cycle_sound.reranking": {"cycle_sound.dvae"},
    "cycle_sound.objectives.transformer": {"cycle_sound.dvae"},
    "cycle_sound.training": {"cycle_sound.dvae", "cycle_sound.transformer", "cycle_sound.classifier"},
}


# --- what the code says


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for folder in ("cycle_sound", "stages") for path in sorted((ROOT / folder).rglob("*.py"))}


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(module: str) -> dict[str, str]:
    """The project's modules and objects that a module imports anywhere in it: local name → dotted name.

    What stands under `if TYPE_CHECKING` never runs.
    """
    names = {}
    typed = [node for node in ast.walk(parsed(module)) if isinstance(node, ast.If) and _is_for_types(node)]
    never = {inside for node in typed for inside in ast.walk(node)}
    for node in ast.walk(parsed(module)):
        if node in never:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {local: name for local, name in names.items() if name.split(".")[0] in ("cycle_sound", "stages")}


def _is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def home(name: str) -> str:
    """The module that a dotted name stands for or lies in."""
    return name if name in MODULES else name.rpartition(".")[0]


def edges(module: str) -> set[str]:
    """The modules that a module names in its imports."""
    return {home(name) for name in imported(module).values()} - {module}


def reached(module: str) -> set[str]:
    """All modules that importing a module runs, itself among them: packages run before what lies in them."""
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= todo
        packages = {name.rpartition(".")[0] for name in todo} & MODULES.keys()
        todo = (packages | {name for module in todo for name in edges(module)}) - found
    return found


class Read(NamedTuple):
    """The keys that a function reads from one of its parameters, and the calls it hands it to as a whole."""

    keys: set[str]
    handed: list[tuple[ast.expr, int | str]]  # function, position or keyword


def key_of(node: ast.expr, root: str) -> str | None:
    """`params.vae[modality].width` → `vae.${item.modality}.width`; None for what does not start at `root`."""
    if isinstance(node, ast.Name):
        return "" if node.id == root else None
    if isinstance(node, ast.Attribute | ast.Subscript):
        before = key_of(node.value, root)
        last = node.attr if isinstance(node, ast.Attribute) else f"${{item.{ast.unparse(node.slice)}}}"
        return None if before is None else f"{before}.{last}".lstrip(".")
    return None


def read(node: ast.AST, root: str) -> Read:
    """What the code below `node` does with the name `root`."""
    found = Read(set(), [])
    if isinstance(node, ast.Call):
        arguments: list[tuple[int | str, ast.expr]] = [*enumerate(node.args)]
        arguments += [(keyword.arg or "**", keyword.value) for keyword in node.keywords]
        found.handed.extend((node.func, place) for place, value in arguments if key_of(value, root) == "")
        inside = [value for _, value in arguments if key_of(value, root) != ""]
        method = isinstance(node.func, ast.Attribute) and key_of(node.func, root) is not None
        children: Iterator[ast.AST] = iter([node.func.value if method else node.func, *inside])
    else:
        key = key_of(node, root) if isinstance(node, ast.expr) else None
        assert key != "", f"line {node.lineno}: `{root}` goes where this test cannot follow"
        found.keys.update([key] if key else [])
        children = iter(()) if key else ast.iter_child_nodes(node)
    for child in children:
        deeper = read(child, root)
        found.keys.update(deeper.keys)
        found.handed.extend(deeper.handed)
    return found


def function(module: str, callee: ast.expr) -> tuple[str, str]:
    """The module and the name of a function called in a module; `joblib.delayed(f)(…)` calls f."""
    while isinstance(callee, ast.Call):
        callee = callee.args[0]
    first, _, rest = ast.unparse(callee).partition(".")
    name = ".".join(filter(None, [imported(module).get(first, f"{module}.{first}"), rest]))
    return home(name), name.rpartition(".")[2]


def keys_read(module: str, name: str, place: int | str) -> set[str]:
    """The keys that a function reads from one of its parameters, itself or through the functions it hands it to."""
    body = next(node for node in parsed(module).body if isinstance(node, ast.FunctionDef) and node.name == name)
    root = body.args.args[place].arg if isinstance(place, int) else place
    found = Read(set(), [])
    for statement in body.body:
        part = read(statement, root)
        found.keys.update(part.keys)
        found.handed.extend(part.handed)
    return found.keys.union(*(keys_read(*function(module, callee), argument) for callee, argument in found.handed))


def artifacts(module: str) -> set[str]:
    """The names of cycle_sound.paths that a stage uses, itself or through what loads the models for it."""
    modules = {module} | edges(module) & {"cycle_sound.evaluation"}
    uses = {node for name in modules for node in ast.walk(parsed(name)) if isinstance(node, ast.Attribute)}
    return {use.attr for use in uses if isinstance(use.value, ast.Name) and use.value.id == "paths"}


# --- what dvc.yaml says


def listed(stage: str, *sections: str) -> list[str]:
    """The paths that a stage lists; of `path: {cache: false}` the path."""
    entries = [entry for section in sections for entry in STAGES[stage].get(section, [])]
    return [next(iter(entry)) if isinstance(entry, Mapping) else entry for entry in entries]


def instances(stage: str, *sections: str) -> set[Path]:
    """The paths that all instances of a stage list."""
    matrix = STAGES[stage].get("matrix", {"": [""]})
    ((item, words),) = matrix.items()
    return {Path(entry.replace(f"${{item.{item}}}", word)) for entry in listed(stage, *sections) for word in words}


def known() -> dict[Path, str]:
    """Every artifact that cycle_sound.paths names for the stages: path → the name there."""
    named = {paths.RAW: "RAW", paths.FATES: "FATES", paths.SHARDS: "SHARDS", paths.REPORT: "REPORT"}
    for kind in ("vae", "tokens", "classifier"):
        named |= {getattr(paths, kind)(modality): kind for modality in MODALITIES}
    for kind in ("transformer", "samples", "grid"):
        named |= {getattr(paths, kind)(direction): kind for direction in DIRECTIONS}
    for stage, words in {
        stage: next(iter(STAGES[stage].get("matrix", {"": [""]}).values())) for stage in STAGES
    }.items():
        named |= {paths.metrics(stage, word): "metrics" for word in words}
        named |= {paths.curve(stage, word): "curve" for word in words}
    for stage in ("choose", "evaluate"):
        named |= {paths.settings(stage, direction): "settings" for direction in DIRECTIONS}
    return named


# --- the tests


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_code_it_reaches(stage: str):
    code = {name: MODULES[name] for name in reached(f"stages.{stage}") - UNDECLARED}
    wanted = {
        str(path.relative_to(ROOT)) for path in code.values() if path.name != "__init__.py" or path.stat().st_size
    }
    assert {entry for entry in listed(stage, "deps") if entry.endswith(".py")} == wanted


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_parameters_it_reads(stage: str):
    main = next(
        node for node in parsed(f"stages.{stage}").body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    assert [argument.arg for argument in main.args.args] == [*STAGES[stage].get("matrix", {}), "params"]
    keys = keys_read(f"stages.{stage}", "main", "params")
    declared = STAGES[stage].get("params", [])
    covered = {key: [given for given in declared if f"{key}.".startswith(f"{given}.")] for key in keys}
    assert not [key for key, given in covered.items() if not given], "read, not declared"
    assert not set(declared).difference(*covered.values()), "declared, not read"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_artifacts_it_names(stage: str):
    files = [path for path in instances(stage, "deps", "outs", "metrics", "plots") if path.suffix != ".py"]
    names = known()
    aliases = {"MANIFEST": "RAW"}  # lies in it
    own = {"live", "snapshot", "RECEIPTS", "JOURNAL"}  # nobody's input
    used = {aliases.get(name, name) for name in artifacts(f"stages.{stage}")} - own
    assert {names.get(path, f"unknown: {path}") for path in files} == used


def test_every_input_is_made_by_one_stage():
    made = [path for stage in STAGES for path in instances(stage, "outs", "metrics", "plots")]
    assert len(made) == len(set(made))
    needed = {path for stage in STAGES for path in instances(stage, "deps") if path.suffix != ".py"}
    assert needed <= set(made)


def test_a_stage_is_run_by_its_own_name_with_its_own_word():
    for stage, spec in STAGES.items():
        assert spec["cmd"].split() == [
            "${launcher}" if stage.startswith("train_") else "python",
            "-m",
            f"stages.{stage}",
            *(f"${{item.{item}}}" for item in spec.get("matrix", {})),
        ]
    assert {f"stages.{stage}" for stage in STAGES} == {name for name in MODULES if name.startswith("stages.")}


def test_figures_are_in_git_and_data_is_not():
    entries = [
        (stage, section, entry)
        for stage in STAGES
        for section in ("outs", "metrics", "plots")
        for entry in STAGES[stage].get(section, [])
    ]
    for stage, section, entry in entries:
        assert (section != "outs") == (isinstance(entry, Mapping) and next(iter(entry.values())) == {"cache": False}), (
            stage
        )


def test_modules_import_each_other_in_no_circle():
    later = {module: edges(module) for module in MODULES}
    while first := {module for module, names in later.items() if not names & later.keys()}:
        later = {module: names for module, names in later.items() if module not in first}
    assert not later


def test_the_package_knows_no_stage_and_no_stage_another():
    assert not {module for module in MODULES if any(name.startswith("stages") for name in edges(module))}


@pytest.mark.parametrize("module", APART)
def test_the_floors_stay_apart(module: str):
    assert not reached(module) & APART[module]


def test_params_yaml_is_read_by_stages_and_beside_models_alone():
    readers = {module for module in MODULES if "cycle_sound.params" in imported(module).values()}
    assert readers == {"cycle_sound.command", "cycle_sound.card"}  # a stage's; and that beside a project's models
