"""The page of real models under 200 hostile requests, by hand: python tests/hostile_page.py [--models FOLDER]

Starts `cycle-sound web`, sends requests of all kinds in turn while an honest visitor presses buttons, and prints what
the page's process held in memory before, at most and after, and how long the honest visitor waited.
"""

import argparse
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
from visitors import CYCLE, DRAWING, HOSTILE, PICTURE, SOUND, Visitor, png, wav

from cycle_sound import paths

OTHER = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
STARTING = 120.0  # seconds
SETTLING = 15.0


@contextmanager
def served(models: str) -> Iterator[tuple[str, psutil.Process]]:
    """A page of its own process, at a free port: its address and the process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cycle_sound.app.cli", "web", "--port", str(port), "--models", models]
    with subprocess.Popen(command) as process:
        try:
            for _ in range(round(STARTING / 0.2)):
                if process.poll() is not None:
                    sys.exit("the page has not started")
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


class Honest(threading.Thread):
    """A visitor who presses one button after another until told to stop."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.waits, self.failed, self.stopped = page, list[float](), list[str](), threading.Event()

    def run(self) -> None:
        """Visit."""
        for number in itertools.count():
            if self.stopped.is_set():
                break
            start = time.monotonic()
            with Visitor(self.page, OTHER) as visitor:
                sound = number % 2 == 0
                file = visitor.upload("mine", wav(1.5) if sound else png())
                button = (SOUND if sound else PICTURE, CYCLE, SOUND if sound else DRAWING)[number % 3]
                answer = visitor.press(button, {"composite": file} if button == DRAWING else file)
            self.waits.append(time.monotonic() - start)
            self.failed += [] if answer.made else [f"{answer.status} {answer.text}"]


def memory(process: psutil.Process) -> float:
    """Resident memory in MB."""
    return process.memory_info().rss / 1e6


def main() -> None:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=str(paths.PRETRAINED), help="default: the bundled ones")
    parser.add_argument("--requests", type=int, default=200)
    asked = parser.parse_args()
    with served(asked.models) as (page, process):
        first = Honest(page)
        first.start()  # so that libraries and models are in memory before it is measured
        while first.is_alive() and len(first.waits) < 6:  # each button, with each kind of file
            time.sleep(0.1)
        first.stopped.set()
        first.join()
        if len(first.waits) < 6:
            sys.exit("the honest visitor was not served")
        before, most, sent, let_in = memory(process), 0.0, Counter[str](), list[str]()
        honest = Honest(page)
        honest.start()
        for kind in itertools.cycle(HOSTILE):
            for answer in HOSTILE[kind](page):
                sent[kind] += 1
                most = max(most, memory(process))
                let_in += [] if answer.refused else [f"{kind}: {answer.status} {answer.text[:99]}"]
            if sum(sent.values()) >= asked.requests and len(sent) == len(HOSTILE):
                break
        honest.stopped.set()
        honest.join()
        time.sleep(SETTLING)
        after = memory(process)
    for kind, count in sent.items():
        print(f"{kind:18} {count:4}")
    print(f"{sum(sent.values())} hostile requests, {len(let_in)} not refused {let_in}")
    print(f"honest: {len(honest.waits)} visits, at most {max(honest.waits):.1f} s each, in vain {honest.failed}")
    print(f"memory: {before:.0f} MB before, {most:.0f} MB at most, {after:.0f} MB after ({after / before - 1:+.1%})")


if __name__ == "__main__":
    main()
