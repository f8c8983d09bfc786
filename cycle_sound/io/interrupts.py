"""Ctrl-C: the process that it ends says one line, and the processes that work for it never hear of it.

A terminal sends SIGINT to all processes of a command at once. A training, which saves its state, heeds it by itself:
`training.resume`.
"""

import _thread
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any

SAID = "interrupted; `dvc repro` goes on"
Hook = Callable[..., Any]  # of the system's


def in_one_line() -> None:
    """Let an interrupt end this process in one line, wherever it comes, also while modules are being imported.

    What is being done is undone on the way, and the process ends by the signal, which a shell tells as 128 + SIGINT.
    """
    sys.excepthook, sys.unraisablehook = partial(_uncaught, sys.excepthook), partial(_unraisable, sys.unraisablehook)


@contextmanager
def withheld() -> Iterator[None]:
    """Withhold interrupts from all processes that this thread starts meanwhile; where signals can be: not on Windows.

    One that comes meanwhile reaches this process afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else multiprocessing starts it meanwhile, and lets signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _uncaught(others: Hook, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        others(kind, error, trace)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one interrupts no tidying
    if os.environ.get("RANK", "0") == "0":  # of all processes that a launcher has started, one says it
        print(SAID, file=sys.stderr, flush=True)
    traceback.clear_frames(trace)  # which hold generators that have workers to end


def _unraisable(others: Hook, error: Any) -> None:
    """Raise once more, where it can be raised, what came while an object was being destroyed."""
    if issubclass(error.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        others(error)
