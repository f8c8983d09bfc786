"""Ctrl-C: the process that it ends prints one line, and its worker processes do not receive it.

A terminal sends SIGINT to all processes of a command at once. A training, which saves its state, handles it by itself:
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

SAID = "interrupted; `dvc repro` goes on"  # of a stage
STOPPED = "interrupted"  # of a command
Hook = Callable[..., Any]  # of the system's


def in_one_line(line: str = SAID) -> None:
    """Let an interrupt end this process in one `line`, by the signal itself, which a shell tells as 128 + SIGINT.

    At once, until it is `raised`: there is nothing to undo while modules are being imported, and some of those that are
    compiled would turn it into an ImportError.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not of a job in the background
        signal.signal(signal.SIGINT, partial(_end, line))
    sys.excepthook = partial(_uncaught, sys.excepthook, line)
    sys.unraisablehook = partial(_unraisable, sys.unraisablehook)


def raised() -> None:
    """From now on let an interrupt be raised, as Python does, so that what is being done can be undone."""
    if _ends_at_once():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignored() -> None:
    """From now on let no interrupt reach this process, whose work is done.

    While Python takes itself down it would end it without a line, and as if something were left to do.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler or _ends_at_once():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def ends_raised() -> Iterator[None]:
    """Raise SIGTERM and SIGHUP as SystemExit within this context, so that unfinished work can be cleaned up.

    The exit code is 128 + the signal's number. Signals that are ignored stay so.
    """
    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [number for number in asked if signal.getsignal(number) == signal.SIG_DFL]
    for number in heeded:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


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


def _ends_at_once() -> bool:
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, partial) and handler.func is _end


def _end(line: str, _number: int, _frame: Any) -> None:
    _say(line)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)


def _exit(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of all processes that a launcher has started, one says it
        os.write(2, f"{line}\n".encode())  # which a signal may do at any moment


def _uncaught(
    others: Hook, line: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        others(kind, error, trace)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one interrupts no tidying
    _say(line)
    traceback.clear_frames(trace)  # which hold generators that have workers to end


def _unraisable(others: Hook, error: Any) -> None:
    """Raise once more, where it can be raised, what came while an object was being destroyed."""
    if issubclass(error.exc_type, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        others(error)
