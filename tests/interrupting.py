"""Processes that are interrupted when one of them does something, and what they say."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from pipelines import environment

STRUCK = """
import os
import signal
import sys

process, awaited, name = os.environ["STRUCK"].split(os.pathsep)


def strike(event, words):
    if event == awaited and process in " ".join(sys.orig_argv) and str(words[0]).endswith(name):
        begun = os.environ.get("BEGUN")
        if begun:
            os.close(os.open(begun, os.O_CREAT | os.O_WRONLY))
        else:
            os.killpg(0, signal.SIGINT)


sys.addaudithook(strike)


class Last:
    def __del__(self, strike=os.killpg, number=signal.SIGINT):  # when Python takes its modules down
        strike(0, number)


last = Last() if awaited == "end" and process in " ".join(sys.orig_argv) else None
"""  # interrupts all of a command's processes when one of them does something, or says that it does


def started(folder: Path, *words: str, strike: tuple[str, str, str], **more: str) -> subprocess.Popen[str]:
    """Start Python in a folder, which is interrupted once a process (a word of its command) does something."""
    hooks = folder.parent / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(STRUCK, encoding="utf-8")
    around = (
        environment(folder)
        | {"STRUCK": os.pathsep.join(strike), "LOKY_MAX_CPU_COUNT": "2", "PYTHONUNBUFFERED": "1"}
        | more
    )
    around["PYTHONUNBUFFERED"] = "1"  # or stdout would come last
    around["PYTHONPATH"] = os.pathsep.join([str(hooks), around["PYTHONPATH"]])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=around, text=True, start_new_session=True, **pipes
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """The lines of a process that has ended, but for its progress; nothing that it has started may be left."""
    told, _ = process.communicate(timeout=600)  # a loaded machine may take minutes
    last = time.monotonic() + 30
    while (left := [one for one in psutil.process_iter() if works_for(one, process.pid)]) and time.monotonic() < last:
        time.sleep(0.02)
    assert not left
    progress = ("/s, ", " of the time was spent waiting")
    return [line for line in told.splitlines() if line and not any(part in line for part in progress)]


def works_for(process: psutil.Process, session: int) -> bool:
    """Whether a process runs in a session."""
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


NEVER = ("-", "-", "-")
