"""The code is laid out as docs/code.md says: rooms in an order, floors apart, nothing twice, no bare numbers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cycle_sound.io import code
from cycle_sound.io.code import closure, edges, module_of, parsed

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (  # from leaves to roof: a room imports only from those before it
    *("errors", "params", "paths", "io", "media", "acquisition", "nn", "models", "dataset"),
    *("training", "inference", "back_translation", "evaluation", "report", "app", "__main__"),
)
LEAST_COPY = 20  # nodes of a syntax tree, which a line or two have: any two functions may return an attribute
IMPORT = re.compile(r"^ *from ((?:cycle_sound|stages)[\w.]*) import (\([^)]*\)|.+)$", re.MULTILINE)
OF_TESTS = re.compile(r"^ *(?:from|import) (test_\w+)", re.MULTILINE)
APART = {  # module: what it must not reach, so that the floors stay apart
    "cycle_sound.models.transformer": {"cycle_sound.models.dvae", "cycle_sound.dataset.reader"},
    "cycle_sound.inference.sampling": {"cycle_sound.models.dvae"},
    "cycle_sound.training.objectives.transformer": {"cycle_sound.models.dvae"},
    "cycle_sound.training.loop": {
        *("cycle_sound.models.dvae", "cycle_sound.models.transformer", "cycle_sound.models.classifier")
    },
}


def is_number(node: ast.expr | None) -> bool:
    """Whether an expression is made of numbers alone."""
    numbers = ast.Constant | ast.UnaryOp | ast.BinOp | ast.Tuple | ast.operator | ast.unaryop | ast.expr_context
    parts = [*ast.walk(node)] if node else []
    kinds = {type(part.value) for part in parts if isinstance(part, ast.Constant)}
    return bool(kinds) and kinds <= {int, float} and all(isinstance(part, numbers) for part in parts)


def test_a_number_that_is_not_in_params_yaml_says_of_what_it_is_or_why():
    bare = []
    for module in code.modules():
        lines = code.modules()[module].read_text(encoding="utf-8").splitlines()
        for node in parsed(module).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_number(node.value):
                around = lines[node.lineno - 1 : node.end_lineno]
                if not any("#" in line for line in around) and not lines[node.lineno - 2].startswith("#"):
                    bare.append(f"{module}: {around[0]}")
    assert not bare


def test_modules_import_each_other_in_no_circle():
    later = {module: edges(module) for module in code.modules()}
    while first := {module for module, names in later.items() if not names & later.keys()}:
        later = {module: names for module, names in later.items() if module not in first}
    assert not later


def test_a_room_imports_only_from_rooms_before_it():
    def room(module: str) -> int:
        return ROOMS.index(module.split(".")[1])

    inside = [module for module in code.modules() if module.startswith("cycle_sound.")]
    wrong = {
        (module, name)
        for module in inside
        for name in edges(module)
        if name.startswith("cycle_sound.") and room(name) > room(module)
    }
    assert not wrong


def test_the_documentation_shows_which_room_imports_from_which():
    lines = (ROOT / "docs/code.md").read_text(encoding="utf-8").splitlines()
    rows = {cells[1].strip(): cells[2:-1] for line in lines if len(cells := line.split("|")) > 4}
    columns = [cell.strip() for cell in rows["package"]]
    shown = {
        (room, name)
        for room in (*columns, "app")
        for name, cell in zip(columns, rows[room], strict=True)
        if cell.strip()
    }
    inside = {module: module.split(".")[1] for module in code.modules() if module.count(".") > 1}
    pairs = {(room, inside.get(name)) for module, room in inside.items() for name in edges(module)}
    assert shown == {(room, name) for room, name in pairs if name not in (None, room)}


def test_each_room_says_in_a_line_what_it_is_for_and_nothing_else_lies_loose():
    folder = ROOT / "cycle_sound"
    rooms = {path.parent.name: path for path in folder.glob("*/__init__.py")}
    loose = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert loose == {"errors", "params", "paths", "__main__"}
    assert rooms.keys() | loose == set(ROOMS)
    for path in rooms.values():
        purpose = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert purpose
        assert "\n" not in purpose


@pytest.mark.parametrize("stage", ["download", "shard", "import_models", "cache_features", "drop_pairs", "train_cycle"])
def test_a_stage_that_computes_with_no_tensors_starts_without_torch(stage: str):
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, stages.{stage}; print('torch' in sys.modules)"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    assert said.stdout == "False\n"


def test_the_package_knows_no_stage_and_no_stage_another():
    assert not {module for module in code.modules() if any(name.startswith("stages") for name in edges(module))}


@pytest.mark.parametrize("module", APART)
def test_the_floors_stay_apart(module: str):
    assert not closure(module, set()) & APART[module]


class Unplaced(ast.NodeTransformer):
    """Names without the module that they are taken from: `mel.FLOOR` becomes `FLOOR`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        is_of_module = isinstance(node.value, ast.Name) and node.value.id != "self"
        return ast.Name(node.attr, node.ctx) if is_of_module else node


def test_no_function_is_a_copy_of_another():
    places: dict[str, list[str]] = {}
    for path in (path for folder in (*code.PACKAGES, "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = Unplaced().visit(node).body[1 if ast.get_docstring(node) else 0 :]
                if sum(1 for one in body for _ in ast.walk(one)) >= LEAST_COPY:
                    text = "".join(map(ast.dump, body))
                    places.setdefault(text, []).append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not [found for found in places.values() if len(found) > 1]


def test_what_tests_share_stands_in_a_module_without_tests():
    """A test module may import itself: in a program that it runs in another process."""
    for path in (ROOT / "tests").glob("*.py"):
        others = OF_TESTS.findall(path.read_text(encoding="utf-8"))
        assert {*others} <= {path.stem}, path.name


def test_a_test_that_has_the_name_of_a_module_tests_it():
    """It imports the module itself, in a program that it runs, or by a stage, which is a thin script."""
    for path in (ROOT / "tests").glob("test_*.py"):
        named = {module for module in code.modules() if path.stem == f"test_{module.rpartition('.')[2]}"}
        lines = IMPORT.findall(path.read_text(encoding="utf-8"))
        names = {f"{module}.{name}" for module, some in lines for name in re.findall(r"\w+", some)}
        found = {module_of(name) for name in names}.union(module for module, _ in lines) & code.modules().keys()
        found |= {name for module in found if module.startswith("stages.") for name in edges(module)}
        assert not named or named & found, f"{path.name} does not import {named}"


def test_params_yaml_is_read_by_stages_and_beside_models_alone():
    readers = {module for module in code.modules() if "cycle_sound.io.params_file" in edges(module)}
    # a stage's; a project's beside its models; its presets
    assert readers == {"cycle_sound.io.stage", "cycle_sound.inference.card", "cycle_sound.app.presets"}


def test_what_the_page_in_the_browser_is_said_to_consist_of_are_its_modules():
    folder = ROOT / "cycle_sound/app/web"
    said = {*re.findall(r"`(\w+)`", str(ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))))}
    assert said >= {"page", "sessions", "server"}
    assert said <= {path.stem for path in folder.iterdir()}
