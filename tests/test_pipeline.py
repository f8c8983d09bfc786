"""dvc.yaml tells the truth: each stage declares the code it reaches, the parameters it reads, the files it names."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from ruamel.yaml import YAML

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.acquisition import journal
from cycle_sound.inference import card
from cycle_sound.io import code, dvc_yaml
from cycle_sound.io.code import edges, imported, module_of, parsed
from cycle_sound.params import DIRECTIONS, MODALITIES, Config, DataConfig, Params, parse

ROOT = Path(__file__).resolve().parents[1]
PIPELINE: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]
PLOTS: list[dict[str, Any]] = PIPELINE["plots"]
LAST = ("report", "export")
KEEPING = {  # only says which unfinished work may be resumed, or brings back files of known digests
    *(("cycle_sound.acquisition.journal", "key"), ("cycle_sound.acquisition.restoring", "restore")),
}
UNHEARD = {"loader.workers", "parallel"}  # no result depends on it, so that a change of it reruns nothing


# --- what the code says


class Read(NamedTuple):
    """The keys that a function reads, and the calls to which it hands a section of which not all is declared."""

    keys: set[str]
    handed: list[tuple[ast.expr, int | str, str]]  # function, position or keyword, key of the section

    def add(self, other: "Read") -> None:
        self.keys.update(other.keys)
        self.handed.extend(other.handed)


class Reader(NamedTuple):
    """What code does with the parameters that stand behind a local name, where a stage declares some of them."""

    name: str
    key: str  # of what the name stands for; "" for all parameters
    declared: list[str]

    def key_of(self, node: ast.AST) -> str | None:
        """`params.vae[modality].width` → `vae.${item.modality}.width`; None for what does not start at the name."""
        if isinstance(node, ast.Name):
            return self.key if node.id == self.name else None
        if isinstance(node, ast.Attribute | ast.Subscript):
            before = self.key_of(node.value)
            last = node.attr if isinstance(node, ast.Attribute) else f"${{item.{ast.unparse(node.slice)}}}"
            return None if before is None else f"{before}.{last}".lstrip(".")
        return None

    def in_part(self, node: ast.AST) -> bool:
        """Whether a node stands for a section of which not all is declared, so that its use must be followed."""
        key = self.key_of(node)
        keys = () if key is None else (key, *of_each(key))
        return any(not one or given.startswith(f"{one}.") for one in keys for given in self.declared)

    def read(self, node: ast.AST) -> Read:
        """What the code below `node` does with the name."""
        found = Read(set(), [])
        if isinstance(node, ast.Call):
            arguments: list[tuple[int | str, ast.expr]] = [*enumerate(node.args)]
            arguments += [(keyword.arg or "**", keyword.value) for keyword in node.keywords]
            followed = [(place, value) for place, value in arguments if self.in_part(value)]
            found.handed.extend((*called(node, place), str(self.key_of(value))) for place, value in followed)
            method = isinstance(node.func, ast.Attribute) and self.key_of(node.func) is not None
            function = node.func.value if method else node.func
            children = iter([function, *(value for _, value in arguments if not self.in_part(value))])
        else:
            key = self.key_of(node)
            assert key is None or not self.in_part(node), f"`{ast.unparse(node)}` goes where this test cannot follow"
            found.keys.update([key] if key else [])
            children = iter(()) if key else ast.iter_child_nodes(node)
        for child in children:
            found.add(self.read(child))
        return found


def called(call: ast.Call, place: int | str) -> tuple[ast.expr, int | str]:
    """The function that gets an argument of a call, and where: `partial(f, …)` and `joblib.delayed(f)(…)` call f."""
    if ast.unparse(call.func) == "partial" and isinstance(place, int):
        return call.args[0], place - 1
    return (call.func.args[0] if isinstance(call.func, ast.Call) else call.func), place


def function(module: str, callee: ast.expr) -> tuple[str, str]:
    """The module and the name of a function called in a module."""
    first, _, rest = ast.unparse(callee).partition(".")
    name = ".".join(filter(None, [imported(module).get(first, f"{module}.{first}"), rest]))
    return module_of(name), name.rpartition(".")[2]


def keys_read(module: str, name: str, place: int | str, key: str, declared: list[str]) -> set[str]:
    """The keys that a function reads of what one of its arguments stands for, itself or through what it calls."""
    if (module, name) in KEEPING:
        return set()
    body = next(node for node in parsed(module).body if isinstance(node, ast.FunctionDef) and node.name == name)
    arguments = [*body.args.args, *body.args.kwonlyargs]
    parameter = next(one for at, one in enumerate(arguments) if place in (at, one.arg))
    if part := narrowed(key, imported(module).get(ast.unparse(parameter.annotation or parameter))):
        return {f"{key}.{field}" for field in part.model_fields}
    reader = Reader(parameter.arg, key, declared)
    found = Read(set(), [])
    for statement in body.body:
        found.add(reader.read(statement))
    deeper = (keys_read(*function(module, callee), where, of, declared) for callee, where, of in found.handed)
    return found.keys.union(*deeper)


def narrowed(key: str, annotation: str | None) -> type[Config] | None:
    """The architecture as which a function takes a model's section: all of it is read, and nothing else."""
    schema: Any = Params
    for name in filter(None, re.sub(r"\$\{[^}]*\}", "*", key).split(".")):  # a modality's and a direction's are alike
        fields = schema.model_fields
        schema = (next(iter(fields.values())) if name == "*" else fields[name]).annotation
    found = getattr(parameters, (annotation or "").rpartition(".")[2], None)
    return found if found in schema.mro()[1:] and found.__name__.endswith("Architecture") else None


def of_each(key: str) -> list[str]:
    """The keys that a key stands for which is read in a loop over the modalities or the directions."""
    names = {"modality": MODALITIES, "direction": DIRECTIONS}
    found = re.search(r"\$\{item\.(modality|direction)\}", key)
    return [key.replace(found[0], name) for name in names[found[1]]] if found else [key]


def artifacts(module: str) -> set[str]:
    """The names of cycle_sound.paths that a stage uses, itself or through what trains or loads the models for it."""
    helpers = {"cycle_sound.training.classification", "cycle_sound.training.transformer_data"}
    helpers |= {f"cycle_sound.{name}" for name in ("dataset.feature_caching", "back_translation.rounds")}
    helpers |= {"cycle_sound.training.importing"} if module == "stages.import_models" else set()
    modules = {module, *edges(module) & helpers}
    modules |= {name for one in modules for name in edges(one) & helpers}
    if "cycle_sound.inference.export" in edges(module):
        modules |= {f"cycle_sound.inference.{name}" for name in ("export", "bundle", "confidence")}
    if "cycle_sound.evaluation.generation" in edges(module):
        modules |= {"cycle_sound.evaluation.generation", "cycle_sound.inference.bundle"}
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


def _is_code(path: Path) -> bool:
    return path.parts[0] in code.PACKAGES


def known() -> dict[Path, str]:
    """Every artifact that cycle_sound.paths names for the stages: path → the name there."""
    named = {paths.MANIFEST: "MANIFEST", paths.FATES: "FATES", paths.SHARDS: "SHARDS", paths.REPORT: "REPORT"}
    named |= {paths.AUDIT: "AUDIT", paths.PAIRING: "PAIRING", paths.MODELS: "MODELS"}
    named |= dict.fromkeys(paths.inits(), "init")
    named[paths.vocoder()] = "vocoder"
    for kind in ("vae", "decoder", "tokens", "features", "classifier", "judge"):
        named |= {getattr(paths, kind)(modality): kind for modality in MODALITIES}
    for kind in ("transformer", "cycle", "confidence", "samples", "contact_sheet", "figures", "reliability"):
        named |= {getattr(paths, kind)(direction): kind for direction in DIRECTIONS}
    for stage, words in {
        stage: next(iter(STAGES[stage].get("matrix", {"": [""]}).values())) for stage in STAGES
    }.items():
        named |= {paths.metrics(stage, word): "metrics" for word in words}
        named |= {paths.curve(stage, word): "curve" for word in words if stage.startswith(("train_", "finetune_"))}
    named |= {paths.curve("train_cycle", direction): "curve" for direction in DIRECTIONS}  # both, in one stage
    for stage in ("sweep_sampling", "evaluate"):
        named |= {paths.settings(stage, direction): "settings" for direction in DIRECTIONS}
    return named


# --- the tests


def test_the_code_in_dvc_yaml_is_what_the_tool_writes():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert text == dvc_yaml.written(text)
    assert dvc_yaml.written(text.replace("      - cycle_sound/nn\n", "")) == text
    by_hand = [line for line in dvc_yaml.BLOCK.sub("", text).splitlines() if line.strip().startswith("- cycle_sound")]
    assert not by_hand


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_code_it_reaches(stage: str):
    entries = [ROOT / entry for entry in listed(stage, "deps") if entry.startswith(("cycle_sound", "stages"))]
    folders = [path for entry in entries if entry.is_dir() for path in entry.rglob("*") if path.suffix != ".pyc"]
    files = {path for path in (*entries, *folders) if path.is_file()}
    docstrings = {path for path in files if path.name == "__init__.py"}
    assert files - docstrings == {ROOT / path for path in code.reached(f"stages.{stage}")} - docstrings


def test_the_export_declares_exactly_the_parameters_and_figures_that_its_card_tells(tree: dict[str, Any]):
    told = card.unlocated(parse(tree).model_dump())
    wanted = {f"data.{name}" for name in told.pop("data")} | told.keys()
    assert sorted(STAGES["export"]["params"]) == sorted(wanted)
    figures = {path for stage in STAGES for path in instances(stage, "metrics")}
    assert {path for path in instances("export", "deps") if path.parts[0] == "metrics"} == figures
    assert {*paths.every_metrics()} == figures


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "export"])
def test_a_stage_declares_exactly_the_parameters_it_reads(stage: str):
    main = next(
        node for node in parsed(f"stages.{stage}").body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    assert [argument.arg for argument in main.args.args] == [*STAGES[stage].get("matrix", {}), "params"]
    sources = get_args(DataConfig.model_fields["source"].annotation)
    declared = [
        key for given in STAGES[stage]["params"] for key in {given.replace("${data.source}", one) for one in sources}
    ]
    keys = keys_read(f"stages.{stage}", "main", "params", "", declared) - UNHEARD
    if "matrix" not in STAGES[stage]:
        keys = {one for key in keys for one in of_each(key)}
    covered = {key: [given for given in declared if f"{key}.".startswith(f"{given}.")] for key in keys}
    assert not [key for key, given in covered.items() if not given], "read, not declared"
    assert not set(declared).difference(*covered.values()), "declared, not read"


def test_params_yaml_names_the_stages_whose_pictures_are_degraded():
    before, found, _ = (ROOT / "params.yaml").read_text(encoding="utf-8").partition("\n  degradation:")
    named = STAGES.keys() & re.findall(r"\w+", before.rpartition("\n")[2])
    degrading = {stage for stage, spec in STAGES.items() if {"augment", "augment.degradation"} & {*spec["params"]}}
    assert found
    assert named == degrading - {"export"}  # which only lists all parameters


def test_a_download_goes_on_under_other_settings_of_what_it_does_not_read(tree: dict[str, Any]):
    def key(**over: Any) -> str:
        return journal.key([], DataConfig.model_validate({**tree["data"], **over}), 16000, 0)

    assert key() == key(
        max_rejected=0.9, valid_share=0.5, paired_share=0.5, drop_worst=0.5, folder={"path": "elsewhere"}
    )
    assert key() != key(silence_db=-40.0)
    assert key() != key(source="folder")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_artifacts_it_names(stage: str):
    files = [path for path in instances(stage, "deps", "outs", "metrics", "plots") if not _is_code(path)]
    names = known()
    own = {"generators", "snapshot", "unfinished", "RECEIPTS", "JOURNAL", "DATA", "made", "INIT", "INIT_NAME"}
    own |= {"inits", "RAW"}  # nobody's input: files of known digests
    used = artifacts(f"stages.{stage}") - own | ({"MANIFEST"} if stage == "download" else set())
    used -= {"vae", "cycle", "vocoder"} if stage == "import_models" else set()  # of other folders
    if stage == "export":
        used = used - {"every_metrics"} | {"vae", "cycle", "metrics"}  # the first two by paths.generators
    assert {names.get(path, f"unknown: {path}") for path in files} == used


def test_every_input_is_made_by_one_stage():
    made = [path for stage in STAGES for path in instances(stage, "outs", "metrics", "plots")]
    assert len(made) == len(set(made))
    needed = {path for stage in STAGES for path in instances(stage, "deps") if not _is_code(path)}
    assert needed <= set(made)


def test_a_stage_is_run_by_its_own_name_with_its_own_word():
    for stage, spec in STAGES.items():
        assert spec["cmd"].split() == [
            "python" if stage in ("download", "shard", "drop_pairs", "import_models", *LAST) else "${launcher}",
            "-m",
            f"stages.{stage}",
            *(f"${{item.{item}}}" for item in spec.get("matrix", {})),
        ]
    assert {f"stages.{stage}" for stage in STAGES} == {name for name in code.modules() if name.startswith("stages.")}


def test_figures_are_in_git_and_data_is_not():
    for stage in STAGES:
        for entry in (one for section in ("outs", "metrics", "plots") for one in STAGES[stage].get(section, [])):
            path, flags = next(iter(entry.items())) if isinstance(entry, Mapping) else (entry, {})
            assert path.startswith(("data/", "metrics/"))
            assert path.startswith("metrics/") == (flags == {"cache": False}), path


def test_what_is_plotted_is_plotted_once_and_of_what_a_stage_makes():
    of_stages = [path for stage in STAGES for path in instances(stage, "plots")]
    assert {path.suffix for path in of_stages} == {".png"}
    tables = {path for stage in STAGES for path in instances(stage, "outs") if path.suffix == ".csv"}
    plotted = {Path(path) for plot in PLOTS for path in next(iter(plot.values()))["y"]}
    assert plotted == {path for path in tables if path.parent == paths.PLOTS}
