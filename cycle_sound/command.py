"""How a stage is started: params.yaml, perhaps one word, and errors a person can read."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, overload

from cycle_sound import params
from cycle_sound.params import Params, ParamsError

Word = TypeVar("Word", bound=str)
CODE = [Path(__file__).resolve().parents[1] / name for name in ("cycle_sound", "stages")]


@overload
def run(main: Callable[[Params], None]) -> None: ...
@overload
def run(main: Callable[[Word, Params], None], choices: Sequence[Word]) -> None: ...
def run(main: Callable[..., None], choices: Sequence[str] = ()) -> None:
    """Call `main(params)`, or `main(word, params)` with the one word of the command line, which is one of `choices`.

    What is wrong with the parameters ends as one line and exit code 2; with the data, 1. Any other error is a fault of
    the program, and keeps its traceback.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(sys.argv[0]).stem}",
        description=sys.modules[main.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if choices:
        parser.add_argument("word", choices=choices)
    words = vars(parser.parse_args()).values()
    try:
        main(*words, params.load())
    except ParamsError as error:
        _end(str(error), 2)
    except FileNotFoundError as error:
        _end(f"no such file: {error.filename}" if error.filename else str(error), 1)
    except ValueError as error:
        if not _is_ours(error):
            raise
        _end(str(error), 1)


def _is_ours(error: ValueError) -> bool:
    """Whether a `raise` statement of this project made the error, so that its message was written for a person."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = any(folder in Path(last.filename).resolve().parents for folder in CODE)
    return ours and (last.line or "").startswith("raise ")


def _end(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)
