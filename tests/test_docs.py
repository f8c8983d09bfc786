"""README and docs/ tell the truth: commands parse, names exist, figures are those measured; what is cheap is run."""

import argparse
import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import documents
import numpy as np
import pytest
import soundfile
import torch
import typer
from documents import ROOT, Command
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides
from films import telling_film
from PIL import Image
from pipelines import IDENTITY, digests, dvc, environment, run
from ruamel.yaml import YAML
from typer.testing import CliRunner

import cycle_sound
from cycle_sound import paths
from cycle_sound.app import cycle_page
from cycle_sound.app.cli import app
from cycle_sound.errors import NoModels, UserError
from cycle_sound.inference.system import CycleSound, Station
from cycle_sound.io import figures, params_file
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.params import DIRECTIONS, Params

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
TREE: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w.-]+):", MAKEFILE, re.MULTILINE))
PRESETS = {path.stem for path in (ROOT / "presets").glob("*.yaml")}
OTHERS = {
    "git",
    "source",
    "dask",
    "hf",
    "ruff",
    "mypy",
    "pytest",
}  # programs that are not asked for their words
CHEAP = {  # what is run word for word, beside cycle-sound
    *(("dvc", "repro"), ("dvc", "status"), ("dvc", "checkout"), ("dvc", "exp", "show"), ("dvc", "exp", "list")),
    *(("dvc", "metrics", "diff"), ("dvc", "params", "diff"), ("git", "restore")),
}
UNTRAINED = {"--min-confidence", "audit"}  # ends, as it should, in a line: of models that know nothing; without audit
SHOWING_SCORES = {"cycle", "search"}  # commands
UNASKED = {"web", "push-to-hub"}  # waits for visitors; asks the Hub
MADE_BY_HAND = {"data/folder", "data/vggsound", "data/videos", "data/README.md"}
KEY = re.compile(r"(…|[a-z_]+\.)([a-z_]+|\*)(\.([a-z_]+|\*))*")
FOLDERS = (
    "cycle_sound/",
    "stages/",
    "tests/",
    "benchmarks/",
    "docs/",
    "metrics/",
    "presets/",
    "data/",
    "examples/",
    ".github/",
)


def substitute(words: tuple[str, ...]) -> list[str]:
    """What a command in `$(…)` prints, as words. There are presets alone."""
    program, verb, name = words
    assert (program, verb) == ("cycle-sound", "preset")
    values = params_file.preset(name, ROOT / params_file.PRESETS)
    return [word for key, value in values.items() for word in ("-S", f"{key}={json.dumps(value)}".replace(" ", ""))]


COMMANDS = [one for block in documents.blocks("sh", "bash") for one in documents.commands(block, substitute)]


@cache
def dvc_options() -> set[str]:
    """Every option of every command of DVC."""

    def options(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    yield from options(child)

    return set(options(get_main_parser()))


def commands_below(command: Any) -> Iterator[Any]:
    """The commands of cycle-sound."""
    for child in getattr(command, "commands", {}).values():
        yield child
        yield from commands_below(child)


def check_cycle_sound(words: tuple[str, ...]) -> None:
    command, rest = typer.main.get_command(app), list(words)
    while children := getattr(command, "commands", None):
        assert rest, "a command is missing"
        assert rest[0] in children, f"no command {rest[0]}"
        command = children[rest.pop(0)]
    with suppress(NoModels):  # in a folder that another command makes
        command.make_context(command.name, list(rest))
    assert command.name != "preset" or set(rest) - {"--write"} <= PRESETS


def check_make(words: tuple[str, ...]) -> None:
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert {word for word in words if "=" not in word} <= TARGETS
    assert given.get("preset", "tiny") in PRESETS


def check_dvc(words: tuple[str, ...], folder: Path) -> None:
    asked = get_main_parser().parse_args(list(words))
    if overrides := getattr(asked, "set_param", None):
        shutil.copy(ROOT / "params.yaml", folder)
        apply_overrides(folder / "params.yaml", overrides)  # as -S does
        params_file.load(folder / "params.yaml")
    if words[0] in ("repro", "pull", "push", "status") or words[:2] == ("exp", "run"):
        assert {target.partition("@")[0] for target in asked.targets or []} <= STAGES.keys()


def check_python(words: tuple[str, ...]) -> None:
    if words[:2] == ("-m", "pip"):
        return check_pip(words[2:])
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"no module {words[1]}"
        words = words[2:]
    assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def check_pip(words: tuple[str, ...]) -> None:
    assert words[0] == "install"
    for word in words[1:]:
        assert word.startswith("-") or (ROOT / re.sub(r"\[.*", "", word)).exists(), word
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def check(command: Command, folder: Path) -> None:
    """Fail for a command that its program does not know, or that names what does not exist."""
    program, *rest = command.words
    words = tuple(rest)
    match program.removeprefix(".venv/bin/"):
        case "cycle-sound":
            check_cycle_sound(words)
        case "make":
            check_make(words)
        case "dvc":
            check_dvc(words, folder)
        case "python" | "python3":
            check_python(words)
        case "pip":
            check_pip(words)
        case other:
            assert other in OTHERS


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_one_that_its_program_knows(command: Command, tmp_path: Path) -> None:
    check(command, tmp_path)


def known_key(name: str) -> bool:
    """Whether params.yaml has a key of a name, in which `*` stands for any section and a leading `…` for any above."""

    def keys(tree: Any, above: str) -> Iterator[str]:
        if isinstance(tree, Mapping):
            for key, value in tree.items():
                yield f"{above}{key}"
                yield from keys(value, f"{above}{key}.")

    pattern = re.escape(name).replace(r"\*", r"\w+").replace("…", ".*")
    return any(re.fullmatch(pattern, key) for key in keys(TREE, ""))


def exists(path: str) -> bool:
    """Whether a path of the project exists, in git or once it is built; NAME and … stand for any."""
    if path.startswith("data/"):
        made = {str(folder) for folder in paths.made()} | {f"data/{name}" for name in ("transformer", "cycle")}
        return path == "data/" or any(path.startswith(folder) for folder in made | MADE_BY_HAND)
    pattern = re.sub(r"NAME|ID|…", "*", path.rstrip("/"))
    return bool(list(ROOT.glob(pattern)))


@cache
def options() -> set[str]:
    """Every option of cycle-sound, of DVC and of the scripts in tests/."""
    own = {word for one in commands_below(typer.main.get_command(app)) for option in one.params for word in option.opts}
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py")]
    return own | dvc_options() | {word for text in scripts for word in re.findall(r'add_argument\("(--\w+)"', text)}


def is_known(code: str) -> bool:
    """Whether what a piece of code in the prose names exists; what this test cannot tell is taken to."""
    name, (first, *rest) = code.partition("=")[0], code.split()
    if code.startswith(FOLDERS) and not rest:
        return exists(code)
    if KEY.fullmatch(name) and (name.startswith("…") or name.split(".")[0] in TREE):
        return known_key(name)
    if first.startswith("--"):
        return first in options()
    match first, rest:
        case "-S", [word]:
            return known_key(word.partition("=")[0])
        case "make", [*_, target]:
            return target in TARGETS
        case "cycle-sound", [word, *_]:
            return word == "COMMAND" or word.startswith("-") or word in typer.main.get_command(app).commands
        case "python", ["-m", module, *_]:
            return "NAME" in module or importlib.util.find_spec(module) is not None
        case "python", [path]:
            return path.startswith("-") or exists(path)
    return True


@pytest.mark.parametrize("page", documents.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_in_the_prose_exists(page: Path) -> None:
    assert [code for code in documents.spans(page) if not is_known(code)] == []


REFUSALS = (  # by `check`, typer, argparse, DVC and params.yaml: any other error is a fault of these tests
    *(AssertionError, typer.BadParameter.__base__, SystemExit, DvcParserError, DvcException, UserError),
)
UNKNOWN_NAMES = (
    *("cycle_sound/nn/nothing.py", "data/nothing", "tests/nothing.py", "python tests/nothing.py"),
    *("vae.*.width_of", "…optimizer.speed", "-S image.sise=3", "--louder", "cycle-sound sing", "make everything"),
    "python -m benchmarks.nothing",
)
IMPOSSIBLE_COMMANDS = (
    *("cycle-sound sing -o out", "cycle-sound image bell.wav", "cycle-sound image bell.wav -o out --louder 3"),
    *("make everything", "make preset=loud repro", "git status && make everything", "sing out loud"),
    *("dvc exp ruin", "dvc exp run sing", "dvc exp run -S image.sise=3", "dvc exp run -S image.size=large"),
    "dvc exp run $(cycle-sound preset fine) -S image.size=90",
    *("python -m benchmarks.nothing", "pip install -e '.[loud]'"),
)


@pytest.mark.parametrize("code", UNKNOWN_NAMES)
def test_a_name_that_does_not_exist_is_found(code: str) -> None:
    assert not is_known(code)


@pytest.mark.parametrize("line", IMPOSSIBLE_COMMANDS)
def test_a_command_that_cannot_be_is_found(line: str, tmp_path: Path) -> None:
    block = documents.Block(ROOT / "README.md", 1, "sh", line)
    found = list(documents.commands(block, substitute))
    with pytest.raises(REFUSALS):
        any(check(command, tmp_path) for command in found)


@pytest.mark.parametrize("page", documents.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    toc = pytest.importorskip("markdown.extensions.toc")
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {toc.slugify(heading.replace("`", ""), "-") for heading in headings}, link


def test_a_page_that_goes_back_to_the_last_commit_has_first_made_the_readers_build_one() -> None:
    printed = re.search(r"measure.*experiments against these: (git commit .*)\"", re.sub(r'"[\s\\]*"', " ", MAKEFILE))
    assert printed
    baseline, going_back = tuple(shlex.split(printed[1])), []
    for page in documents.PAGES:
        words = [one.words for one in COMMANDS if one.place.startswith(f"{page.relative_to(ROOT)}:")]
        if ("dvc", "checkout") in words:
            going_back.append(page.name)
            assert baseline in words[: words.index(("dvc", "checkout"))], page
    assert {"README.md", "first-hour.md", "experiments.md"} <= {*going_back}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


def test_the_pipelines_figure_shows_every_stage() -> None:
    figure = (ROOT / "docs/figures/pipeline.svg").read_text(encoding="utf-8")
    assert not [stage for stage in STAGES if f">{stage}<" not in figure]


def test_the_table_of_tensors_has_the_shapes_of_the_models(params: Params) -> None:
    shapes = {modality: (channels, *params.shapes[modality]) for modality, channels in (("image", 3), ("audio", 1))}
    vaes = {modality: DiscreteVAE(params.vae[modality], shape[0]) for modality, shape in shapes.items()}
    sources, targets = (vaes[one].code_shape(shapes[one]) for one in ("audio", "image"))
    model = Transformer(params.transformer.audio_to_image, Shapes(sources, shapes["audio"], targets, shapes["image"]))
    picture, log_mel = torch.zeros(5, *shapes["image"]), torch.zeros(5, *shapes["audio"])
    codes, prefix = vaes["image"].encode(picture), model.encode_source(log_mel)
    tensors = [picture, log_mel, codes, prefix, model(prefix, codes.flatten(2))]

    table = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8").partition("## In tensors")[2]
    sizes = {"b": 5, "1 + s": prefix.shape[1], "k": targets.codebooks, "t": targets.places, "v": targets.codebook_size}
    shown = [one.split(", ") for one in re.findall(r"\((b,[^()]*)\)", table)]
    assert [tuple(sizes.get(size) or int(size) for size in one) for one in shown] == [one.shape for one in tensors]


def test_the_changelog_says_nothing_twice() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    begins = [" ".join(line.split()[:8]) for line in lines if line.startswith("- ")]
    assert len(begins) > 50
    assert len(begins) == len(set(begins))


def test_the_diagrams_of_the_readme_and_of_dvc_yaml_name_every_stage() -> None:
    text, pipeline = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "dvc.yaml"))
    diagram = re.search(r"^```\n(download ─►.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert diagram
    drawn = [line for line in pipeline.partition("stages:")[0].splitlines() if "─" in line]
    for shown in (diagram[1], "\n".join(drawn)):
        assert set(re.findall(r"\w+", shown)) >= STAGES.keys()
        assert re.search(r"drop_pairs ─► train_transformer@.*, train_cycle", shown)


def test_the_file_named_as_the_check_of_stale_tokens_raises_for_them() -> None:
    text = (ROOT / "docs/code.md").read_text(encoding="utf-8")
    named = re.search(r"check that refuses stale tokens \| `(\S+)`", text)
    assert named
    assert "raise StaleCache(" in (ROOT / named[1]).read_text(encoding="utf-8")


def test_what_a_build_makes_is_described_where_it_lies() -> None:
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    outs = [one for stage in STAGES.values() for one in stage.get("do", stage).get("outs", [])]
    made = {*paths.made(), *(Path(next(iter(one)) if isinstance(one, dict) else one) for one in outs)}
    folders = {path.parts[1] for path in made if path.parts[0] == "data" and len(path.parts) > 1}
    assert len(folders) > 15
    assert [folder for folder in sorted(folders) if f"\n| `{folder}/` |" not in text] == []
    writers = re.findall(r"`(\w+)(?:@…)?` \|$", text, re.MULTILINE)
    assert len(writers) > 15
    assert set(writers) <= STAGES.keys()


ROWS = {  # of the tables of results → the figure, and how it is written
    "class consistency": ("class_consistency", 3),
    "class consistency, by the judge": ("class_consistency_judge", 3),
    "pitch ↔ hue, rank correlation": ("pitch_hue_correlation", 3),
    "loudness ↔ size": ("loudness_size_correlation", 3),
    "strokes ↔ things": ("strokes_things_correlation", 3),
    "pitch ↔ hue, the pitch by SwiftF0": ("pitch_hue_correlation_swiftf0", 3),
    "cycle consistency (there and back, through the waveform)": ("cycle_consistency", 3),
    "recall@1, own target among 50": ("recall_at_1", 3),
    "cross-entropy, nats per code": ("cross_entropy", 3),
    "Fréchet distance": ("frechet_distance", 1),
    "kernel distance, by EfficientNet-Lite0": ("kernel_distance", 3),
    "gradient magnitude, generated / real": ("gradient_ratio", 2),
    "high-frequency energy, generated / real": ("high_frequency_ratio", 2),
    "warble (bird), depth, generated / real": ("warble_ratio", 2),
}


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_figures_of_the_tables_are_those_measured(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    found = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines if cells[0].strip() in ROWS}
    assert len(found) == (8 if page == "README.md" else len(ROWS))
    here, fine = ([_metrics(folder, one) for one in DIRECTIONS] for folder in ("metrics", "metrics/fine"))
    for row, cells in found.items():
        name, digits = ROWS[row]
        assert [*map(_number, cells[:2]), *map(_number, cells[4:6])] == [
            _rounded(metrics.get(name), digits) for metrics in (*here, *fine)
        ], row
        for cell, metrics in zip(cells[:2], here, strict=True):
            low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
            interval = re.search(r"\((.*)–(.*)\)", cell)
            assert low is None or not interval or interval.groups() == (f"{low:.2f}", f"{high:.2f}"), row
        for cell, ends in ((cells[2], ("_floor", "_shuffled")), (cells[3], ("_ceiling",))):
            measured = [metrics[name + end] for metrics in here for end in ends if name + end in metrics]
            written = [float(part) for part in cell.split(" · ") if part != "–"]
            assert written == pytest.approx(measured, abs=0.51 * 10**-digits), row


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_tables_of_results_say_which_figures_are_of_fewer_pairs(page: str) -> None:
    pairs, evaluate = TREE["data"]["synthetic"]["test_pairs"], TREE["evaluate"]
    counts = (evaluate[name] for name in ("retrieval_queries", "kernel_pairs", "waveforms"))
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"\n| on the {pairs} test pairs¹ |" in text
    assert f"\n¹ {figures.sample_sizes(pairs, *counts)}\n" in text


def test_the_confidences_areas_and_the_vaes_errors_in_the_results_are_those_measured() -> None:
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    here, fine = "metrics", "metrics/fine"
    for name in ("confidence_auc", "confidence_auc_unguided"):
        both = [_metrics(here, direction) for direction in DIRECTIONS]
        areas = [(one[name], one[f"{name}_low"], one[f"{name}_high"]) for one in both if name in one]
        assert areas
        assert len(areas) == len(both) or "none is wrong, so there is no area" in text
        assert " · ".join(f"{area:.3f} ({low:.2f}–{high:.2f})" for area, low, high in areas) in text
    vae, decoder = (_json(f"{fine}/{stage}_image.json")["psnr"] for stage in ("train_vae", "finetune_decoder"))
    assert f"PSNR of {vae:.1f} dB" in text
    assert f"with the fine-tuned decoder {decoder:.1f} dB" in text
    vae, decoder = (_json(f"{here}/{stage}_image.json")["psnr"] for stage in ("train_vae", "finetune_decoder"))
    assert f"| images | {vae:.1f} dB" in text
    assert f"| images, fine-tuned decoder | {decoder:.1f} dB" in text


def _metrics(folder: str, direction: str) -> dict[str, Any]:
    return _json(f"{folder}/evaluate_{direction}.json")


def _json(path: str) -> dict[str, Any]:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def _number(cell: str) -> str | None:
    found = re.match(r"\**([\d.]+)\**", cell)
    return found[1] if found else None


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


NAME = re.compile(r"\bcycle_sound\.(\w+)")
FOR_CHANGES = {"docs/extending.md", "docs/code.md"}  # to the program itself


def notebook() -> dict[str, str]:
    """The cells of the notebook, of each kind together."""
    cells = _json("docs/tour.ipynb")["cells"]
    kinds = ("code", "markdown")
    return {kind: "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind) for kind in kinds}


def imported(text: str) -> set[str]:
    """What a program imports of this one, as NAME for `from cycle_sound import NAME`, else with its module."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("cycle_sound.") for name in found if name.split(".")[0] == "cycle_sound"}


def test_examples_import_what_the_package_itself_offers() -> None:
    texts = [(str(block.page.relative_to(ROOT)), block.text) for block in documents.blocks("python")]
    texts = [(page, text) for page, text in texts if page not in FOR_CHANGES] + [("tour", notebook()["code"])]
    assert {page for page, _ in texts} >= {"README.md", "docs/using.md"}
    for page, text in texts:
        assert imported(text) <= {*cycle_sound.__all__}, page


def test_prose_for_users_names_what_the_package_itself_offers() -> None:
    users = {page: str(page.relative_to(ROOT)) for page in documents.PAGES}
    texts = {name: " ".join(documents.spans(page)) for page, name in users.items() if name not in FOR_CHANGES}
    texts["tour"] = notebook()["markdown"]
    found = {name: set(NAME.findall(text)) for name, text in texts.items()}
    assert {name: names for name, names in found.items() if not names <= {*cycle_sound.__all__, "errors"}} == {}


def test_the_reference_shows_all_that_the_package_offers() -> None:
    text = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: cycle_sound\.(\w+)$", text, re.MULTILINE))
    assert shown == {*cycle_sound.__all__} - {"UserError"}  # which stands among the errors


SCORE = "log-likelihood ratio of the source with and without this result, in nats"


def test_what_a_score_is_stands_in_the_same_words_wherever_it_is_shown() -> None:
    pages = ("README.md", "docs/using.md", "docs/how-it-works.md", "docs/tour.ipynb")
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in pages}
    template = "cycle_sound/report/templates/examples.html.j2"
    texts[template] = (ROOT / template).read_text(encoding="utf-8")
    texts["legend"], texts["Python"] = cycle_page.LEGEND, str(CycleSound.scores.__doc__)
    texts |= {one.name: one.help for one in commands_below(typer.main.get_command(app)) if one.name in SHOWING_SCORES}
    assert texts.keys() >= SHOWING_SCORES
    assert [name for name, text in texts.items() if SCORE not in " ".join(text.split())] == []


def test_a_log_ratio_is_not_called_a_likelihood_where_it_is_shown() -> None:
    known = cycle_page.facts(Station(Image.new("RGB", (8, 8)), None, -1.5, None, 1.0))
    assert known["score"] == "-1.5 nats"
    assert not any("likelihood" in name for name in known)


def test_the_papers_know_the_version_and_the_workflow_runs_what_ci_runs() -> None:
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert {"cff-version", "message", "title", "authors", "type"} <= citation.keys()
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/test.yml")["jobs"]["test"]
    assert ".ci/run" in [step.get("run") for step in workflow["steps"]]
    assert ">=" + min(workflow["strategy"]["matrix"]["python"]) == PROJECT["requires-python"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert {"name", "description", "body"} <= YAML(typ="safe").load(path).keys()


# --- run


@pytest.fixture(scope="module")
def project(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny build, committed, with the files that the pages name."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(built, folder, symlinks=True)
    shutil.copytree(paths.PRETRAINED, folder / "cycle_sound/pretrained")
    run(folder, "git", "add", "--all")
    run(folder, "git", *IDENTITY, "commit", "-qm", "A build")
    rng = np.random.default_rng(0)
    for name in ("bell.wav", "recordings/one.wav", "recordings/two.wav", "song.mp3"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, 0.1 * rng.standard_normal(16000 * (4 if name == "song.mp3" else 1)), 16000)
    for name in ("bell.png", "pictures/one.png", "pictures/two.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / name)
    telling_film(folder / "film.mp4", [number / 10 for number in range(40)], (0.0, 4.0))
    return folder


@pytest.mark.slow
def test_the_commands_do_what_they_are_shown_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    asked = [one for one in COMMANDS if one.words[0] == "cycle-sound" and one.words[1] not in UNASKED]
    assert len(asked) > 15
    for command in asked:
        result = CliRunner().invoke(app, command.words[1:])
        if UNTRAINED & set(command.words):
            assert result.exit_code == 0 or (result.exit_code == 1 and "error: " in result.stderr), str(command)
        else:
            assert result.exit_code == 0, f"{command}\n{result.output}"
            assert result.stdout, str(command)


@pytest.mark.slow
def test_what_is_shown_of_dvc_runs_and_leaves_the_build_as_it_was(project: Path) -> None:
    before = digests(project)
    asked = {one.words: one for one in COMMANDS if any(one.words[: len(words)] == words for words in CHEAP)}
    for words, command in asked.items():
        if words[:2] == ("dvc", "repro") and len(words) > 2:  # of a stage by name, or by force
            continue
        said = run(project, *([sys.executable, "-m", *words] if words[0] == "dvc" else words), PYTHONPATH=str(project))
        assert "Running stage" not in said, str(command)
    assert digests(project) == before


@pytest.mark.slow
def test_a_clone_gets_by_a_remote_what_was_built(project: Path) -> None:
    (add,) = {one.words[1:] for one in COMMANDS if one.words[:3] == ("dvc", "remote", "add")}
    assert {("dvc", "push"), ("dvc", "pull")} <= {one.words for one in COMMANDS}
    dvc(project, *add)
    run(project, "git", *IDENTITY, "commit", "-qam", "A remote")
    dvc(project, "push")
    clone = project.parent / "clone"
    run(project, "git", "clone", "-q", str(project), str(clone))
    dvc(clone, "pull")
    assert "Running stage" not in dvc(clone, "repro")
    models = {path: digest for path, digest in digests(project).items() if path.endswith(".safetensors")}
    assert models.items() <= digests(clone).items()


@pytest.mark.slow
@pytest.mark.parametrize("block", documents.blocks("python"), ids=lambda block: f"{block.page.name}:{block.line}")
def test_an_example_runs_as_it_stands(block: documents.Block, project: Path) -> None:
    if not (project / "models").is_dir():
        run(project, sys.executable, "-m", "cycle_sound.app.cli", "export", "models")
    run(project, sys.executable, "-c", block.text)


@pytest.mark.slow
def test_the_notebook_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name, value in environment(project).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CYCLE_SOUND_MODELS", str(project / "data"))
    notebook = nbformat.read(ROOT / "docs/tour.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(project))
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [sum(kind in one for one in shown) for kind in ("image/png", "text/html")] == [2, 2]  # pictures, sounds


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)]
    assert run(ROOT, sys.executable, *words, NO_MKDOCS_2_WARNING="1") == ""
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert {page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in documents.SITE} < pages.keys()
    for name, text in pages.items():
        assert not re.findall(r'(?:<script|<img)[^>]*src="?https?:|<link rel="?stylesheet"? href="?https?:', text), name
    assert 'id="cycle_sound.CycleSound.image"' in pages["reference/python.html"]
    assert 'src="figures/results.svg"' in pages["results.html"]
    assert "codebook_size" in pages["reference/parameters.html"]
    assert "<code>cycle-sound web</code>" in pages["reference/command-line.html"]
