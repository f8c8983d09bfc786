"""Errors that a user can mend end a stage or a command in one line; all others keep their traceback."""

import ast
import os
import pickle
import re
import string
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_project
import typer
from typer.testing import CliRunner

from cycle_sound import errors
from cycle_sound.app.cli import Commands
from cycle_sound.errors import BadInput, NetworkGone, ParamsError, UserError
from cycle_sound.io import stage
from cycle_sound.params import Params

ROOT = Path(__file__).resolve().parents[1]
KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, UserError)}
SENTENCES = {name for name, kind in KINDS.items() if kind.text}
REFUSALS = [OSError(number, os.strerror(number), "data/x") for number in (1, 5, 13, 20, 21, 28, 30, 122)]
FAULTS = [ValueError("two\nlines"), KeyError("x"), RuntimeError(), ZeroDivisionError()]


def fields(text: str) -> set[str]:
    """The facts that a sentence names."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def some(kind: type[UserError]) -> UserError:
    """An error of a kind, as the package raises it."""
    return kind(**dict.fromkeys(fields(kind.text), 0.5)) if kind.text else kind("what is wrong")


def calls() -> list[tuple[str, str, ast.Call | None]]:
    """Every use of an error's name in `raise` or as a call: (name, where, the call)."""
    found: list[tuple[str, str, ast.Call | None]] = []
    for path in [*(ROOT / "cycle_sound").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bare = isinstance(node, ast.Raise) and not isinstance(node.exc, ast.Call)
            function = node.exc if bare else node.func if isinstance(node, ast.Call) else None
            name = function and ast.unparse(function).rpartition(".")[2]
            if name in KINDS:
                found.append((name, f"{path.name}:{node.lineno}", node if isinstance(node, ast.Call) else None))
    return found


CALLS = calls()


# --- the tree


def test_the_errors_that_the_linters_rule_names_exist() -> None:
    named = re.search(r"N818.*# .*: (.+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert named
    assert set(named[1].split(", ")) <= KINDS.keys()


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_error_says_what_it_stands_for(kind: type[UserError]) -> None:
    assert kind.__dict__.get("__doc__")


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_error_crosses_processes_with_its_message(kind: type[UserError]) -> None:
    error = some(kind)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, str(error))
    assert str(error)


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_raised_with_the_facts_that_its_sentence_names(name: str) -> None:
    for used, place, call in CALLS:
        if used == name:
            assert call, f"{place}: raised without a message"
            keywords = {keyword.arg for keyword in call.keywords}
            wanted = (0, fields(KINDS[name].text)) if name in SENTENCES else (1, set())
            assert (len(call.args), keywords) == wanted, place


@pytest.mark.parametrize("name", KINDS)
def test_every_error_without_subclasses_is_raised_somewhere(name: str) -> None:
    assert KINDS[name].__subclasses__() or name in {used for used, _, _ in CALLS}


def test_a_message_is_not_taken_for_a_sentence() -> None:
    assert str(BadInput("{id}.wav: no such file")) == "{id}.wav: no such file"
    assert str(NetworkGone(clips=3, reason="{}")).startswith("3 clips in a row could not be fetched ({})")


# --- a stage


@pytest.fixture
def started(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a stage had been started, with a params.yaml."""
    monkeypatch.setattr(sys, "argv", ["stages/any.py"])
    monkeypatch.setattr(stage.params_file, "load", lambda: params)


def ends_with(error: Exception) -> Any:
    """The exit code of a stage that raises an error."""

    def main(_: object) -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        stage.run(main)
    return end.value.code


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("kind", KINDS.values())
def test_a_stage_ends_in_one_line(kind: type[UserError], capsys: pytest.CaptureFixture[str]) -> None:
    for error, line in ((some(kind), str(some(kind))), (kind("two\nlines"), "two lines")):
        assert ends_with(error) == (2 if kind is ParamsError else 1)
        assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("kind", stage.OUTSIDE)
@pytest.mark.parametrize("folder", ["here", ".dvc/tmp/exps/tmp1"])
def test_where_dvc_runs_a_copy_a_stage_says_how_files_come_to_be_there(
    kind: type[UserError],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / folder)
    assert ends_with(some(kind)) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: {some(kind)}")
    assert ("`dvc exp run -C PATH`" in line, "absolute path" in line) == (folder != "here",) * 2
    assert line.count("\n") == 1


NEEDED = {  # settings of data, and of which one the copy lacks what it names
    "data.folder.path: no such folder: data/folder": {"source": "folder"},
    "data.videos.path: no such folder: data/videos": {"source": "videos"},
    "data.videos.labels: no such file: list.csv": {"source": "videos", "videos": {"path": "", "labels": "list.csv"}},
    "data.vggsound.list: no such file: list.csv": {"source": "vggsound", "vggsound": {"path": "", "list": "list.csv"}},
}


def in_copy(data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let train_vae be about to start in an experiment's copy of the project; a "" for a path becomes an absolute one.

    The copy lacks what git ignores.
    """
    source, copy = data["source"], tmp_path / ".dvc/tmp/exps/tmp1"
    own = {name: value or str(tmp_path) for name, value in data.get(source, {}).items()}
    copy.mkdir(parents=True)
    tiny_project.write(copy, data={**data, source: own})
    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "argv", ["stages/train_vae.py", "image"])


@pytest.mark.parametrize(("line", "data"), NEEDED.items(), ids=NEEDED)
def test_a_stage_in_a_copy_without_the_originals_ends_before_it_begins(
    line: str,
    data: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    in_copy(data, tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match="1"):
        stage.run(lambda *_: pytest.fail("it has begun"), choices=("image",))
    assert capsys.readouterr().err == f"error: {line}{stage.ELSEWHERE}\n"


@pytest.mark.parametrize("path", ["data/folder", ""])
def test_a_stage_in_a_copy_with_the_originals_begins(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_copy({"source": "folder", "folder": {"path": path}}, tmp_path, monkeypatch)
    Path("data/folder").mkdir(parents=True)
    begun: list[str] = []
    stage.run(lambda word, _: begun.append(word), choices=("image",))
    assert begun == ["image"]


@pytest.mark.usefixtures("started")
def test_a_stage_names_the_file_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(FileNotFoundError(2, "No such file or directory", "data/x")) == 1
    assert capsys.readouterr().err == "error: no such file: data/x\n"


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("error", REFUSALS)
def test_a_stage_names_the_file_that_the_system_refuses(error: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(error) == 1
    assert capsys.readouterr().err == f"error: data/x: {error.strerror}\n"


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_stage_keeps_its_traceback(fault: Exception) -> None:
    def main(_: object) -> None:
        raise fault

    with pytest.raises(type(fault)) as caught:
        stage.run(main)
    assert caught.value is fault


def test_a_stage_takes_one_word(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage.params_file, "load", lambda: params)
    given = []
    monkeypatch.setattr(sys, "argv", ["stages/train_vae.py", "image"])
    stage.run(lambda word, params: given.append((word, params)), choices=("image", "audio"))
    assert given == [("image", params)]
    monkeypatch.setattr(sys, "argv", ["stages/train_vae.py", "smell"])
    with pytest.raises(SystemExit, match="2"):
        stage.run(lambda word, params: None, choices=("image", "audio"))
    assert "python -m stages.train_vae" in capsys.readouterr().err


# --- the command line


def command_that_raises(error: Exception) -> typer.Typer:
    """A command line with one command, in a group as `cycle-sound`'s are."""
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
    app.callback()(lambda: None)

    @app.command()
    def work() -> None:
        raise error

    return app


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_command_ends_in_one_line(kind: type[UserError]) -> None:
    for error, line in ((some(kind), str(some(kind))), (kind("two\nlines"), "two lines")):
        result = CliRunner().invoke(command_that_raises(error), ["work"])
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"error: {line}\n")


@pytest.mark.parametrize("error", REFUSALS)
def test_a_command_names_the_file_that_it_cannot_use(error: OSError) -> None:
    result = CliRunner().invoke(command_that_raises(error), ["work"])
    assert (result.exit_code, result.stderr) == (1, f"error: data/x: {error.strerror}\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_command_keeps_its_traceback(fault: Exception) -> None:
    assert CliRunner().invoke(command_that_raises(fault), ["work"]).exception is fault
