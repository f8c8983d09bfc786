"""Starting a stage: with params.yaml, perhaps one word, and one line for each error that a user can fix."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar, overload

from ruamel.yaml import YAML

from cycle_sound import params, paths
from cycle_sound.errors import BadCheckpoint, BadSource, MissingNetwork, MissingWeights, ParamsError, UserError, told
from cycle_sound.io import code, files, interrupts, names, params_file
from cycle_sound.params import Params

Word = TypeVar("Word", bound=str)

OUTSIDE = (BadSource, BadCheckpoint, MissingNetwork, MissingWeights)  # may be of a file that a setting names
COPIES = ".dvc/tmp/exps/"  # in the project; there DVC puts copies of it, for experiments of a queue and with --temp
ORIGINALS = {  # of each source that reads the user's files: its settings that name them
    "folder": ("path",),
    "videos": ("path", "labels"),
    "vggsound": ("path", "list", "test_list", "moments"),
}
PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # as `files.replacing` names what is not whole
ELSEWHERE = (
    "; this is an experiment's copy of the project, without what git ignores: "
    "`dvc exp run -C PATH` copies that along, and an absolute path needs no copy"
)


@overload
def run(main: Callable[[Params], None]) -> None: ...
@overload
def run(main: Callable[[Word, Params], None], choices: Sequence[Word]) -> None: ...
def run(main: Callable[..., None], choices: Sequence[str] = ()) -> None:
    """Call `main(params)`, or `main(word, params)` with the one word of the command line, which is one of `choices`.

    What killed runs of the same stage have left of half-written files is removed before. A file of weights that lies
    where a stage writes is a `ParamsError`: it could be replaced or removed there. So that no experiment trains to the
    end and then lacks the originals, every stage ends at once where a copy of the project is without them.
    A `UserError`, or an OSError about a file or a disk, ends as one line on stderr, with exit code 2 for a
    `ParamsError` and 1 for the others. In a copy of the project made by DVC, where relative paths lead elsewhere, the
    line says so. Any other exception keeps its traceback.
    """
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{name}",
        description=sys.modules[main.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if choices:
        parser.add_argument("word", choices=choices)
    words = vars(parser.parse_args()).values()
    interrupts.raised()
    sweep(name, *words)
    try:
        given = params_file.load()
        keep_apart(given)
        require_originals(given)
        main(*words, given)
        interrupts.ignored()
    except FileNotFoundError as error:  # an artifact that another stage makes
        _end(f"no such file: {error.filename or error}", 1)
    except (UserError, OSError) as error:
        hint = ELSEWHERE if isinstance(error, OUTSIDE) and in_copy() else ""
        _end(told(error) + hint, 2 if isinstance(error, ParamsError) else 1)


def keep_apart(given: Params) -> None:
    """Raise `ParamsError` where a file of weights that a setting names, or a link to it, lies where a stage writes."""
    for setting, path in _weights(given.model_dump()):
        with suppress(RuntimeError):  # of a link that leads back to itself, in Pythons before 3.13: no such file
            for place in paths.made():
                if any(files.lies_in(part, place) for part in (path, *path.parents)):
                    raise ParamsError(f"{setting}: {path} lies in {place}, where a stage writes: move it away")


def _weights(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Path]]:
    """The files of weights that parameters name, each with its dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _weights(value, f"{above}{key}.")
        elif key in params.WEIGHTS and value:
            yield f"{above}{key}", Path(value)


def require_originals(given: Params) -> None:
    """Raise `BadSource` in an experiment's copy of the project for a file or folder that data.source needs and lacks.

    Stages far behind the download read originals, too, and a copy has none but those obtained again from the source.
    Absolute paths lead out of the copy, and are left to the stages that read them.
    """
    source = given.data.source
    settings = given.data.model_dump().get(source, {})
    for name in ORIGINALS.get(source, ()) if in_copy() else ():
        path = Path(settings[name])
        unused = not settings[name] or (name == "moments" and given.data.pairs != "listed")
        if not unused and not path.is_absolute() and not path.exists():
            raise BadSource(f"data.{source}.{name}: no such {'folder' if name == 'path' else 'file'}: {path}")


def in_copy() -> bool:
    """Whether the current folder is a copy of the project that DVC made for one experiment, and removes after it."""
    return COPIES in f"{Path.cwd().as_posix()}/"


def is_first() -> bool:
    """Whether this is the only process, or of those that a launcher has started the first; asked without PyTorch."""
    return os.environ.get("RANK", "0") == "0"


def sweep(stage: str, word: str = "") -> None:
    """Remove the half-written files that killed runs of an instance of a stage have left where it writes.

    Where other stages write nothing is touched, since one may run beside this one. A stage that dvc.yaml does not name
    has left nothing.
    """
    if not is_first():  # of all processes that a launcher has started, one tidies
        return
    for path in [*_half_written(stage, word)]:
        if PART.fullmatch(path.name) and path.is_file():
            with suppress(OSError):
                path.unlink()


def _half_written(stage: str, word: str) -> Iterator[Path]:
    """What may be half of a file of an instance of a stage: beside and in what it makes, and in its unfinished work."""
    for out in _made(stage, word):
        yield from (path for path in out.parent.glob(".*.part") if path.name.startswith(f".{out.name}."))
        yield from out.rglob(".*.part")
    own = paths.unfinished(stage, word).name
    yield from (path for path in paths.WORK.rglob(".*.part") if _first(path).startswith((own, f".{own}")))
    if stage == "download":
        yield from paths.RAW.glob(".*.part")  # not of a pair's files alone: of what is said of them, too


def _made(stage: str, word: str) -> list[Path]:
    """The files and folders that dvc.yaml says an instance of a stage makes."""
    path = code.ROOT / "dvc.yaml"
    stages = YAML(typ="safe").load(path)["stages"] if path.is_file() else {}
    entries = [out for section in ("outs", "metrics", "plots") for out in stages.get(stage, {}).get(section, [])]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in entries]
    return [Path(re.sub(r"\$\{item\.\w+\}", word, out)) for out in outs]


def _first(path: Path) -> str:
    """The first part of a path below the folder of unfinished work."""
    return path.relative_to(paths.WORK).parts[0]


def _end(message: str, code: int) -> NoReturn:
    print(f"error: {names.one_line(message)}", file=sys.stderr)
    raise SystemExit(code)
