"""Starting a stage: with params.yaml, perhaps one word, and one line for each error that a user can fix."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, overload

from cycle_sound import params
from cycle_sound.errors import BadCheckpoint, BadSource, MissingNetwork, MissingWeights, ParamsError, UserError, told
from cycle_sound.io import interrupts, names
from cycle_sound.params import Params

Word = TypeVar("Word", bound=str)

OUTSIDE = (BadSource, BadCheckpoint, MissingNetwork, MissingWeights)  # may be of a file that a setting names
COPIES = ".dvc/tmp/exps/"  # in the project; there DVC puts copies of it, for experiments of a queue and with --temp
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

    A `UserError`, or an OSError about a file or a disk, ends as one line on stderr, with exit code 2 for a
    `ParamsError` and 1 for the others. In a copy of the project made by DVC, where relative paths lead elsewhere, the
    line says so. Any other exception keeps its traceback.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(sys.argv[0]).stem}",
        description=sys.modules[main.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if choices:
        parser.add_argument("word", choices=choices)
    words = vars(parser.parse_args()).values()
    interrupts.raised()
    try:
        main(*words, params.load())
        interrupts.ignored()
    except FileNotFoundError as error:  # an artifact that another stage makes
        _end(f"no such file: {error.filename or error}", 1)
    except (UserError, OSError) as error:
        hint = ELSEWHERE if isinstance(error, OUTSIDE) and COPIES in f"{Path.cwd().as_posix()}/" else ""
        _end(told(error) + hint, 2 if isinstance(error, ParamsError) else 1)


def _end(message: str, code: int) -> NoReturn:
    print(f"error: {names.one_line(message)}", file=sys.stderr)
    raise SystemExit(code)
