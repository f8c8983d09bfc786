"""Spoiled files for every reader of what is not trusted, by hand: python tests/fuzz.py --minutes 5 --kind films

Each file is read by a process of its own, which has ten seconds for it, and reads the next one as long as all is well.
What comes of it must be a value or an error that the reader documents, within the memory allowed. Anything else is a
finding: the file is kept, with one line how to make it again.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import untrusted
from untrusted import KINDS, Outcome

from cycle_sound.io.pool import Job, Lost, Worker

SECONDS = 10.0  # for one file
SLOW = 2.0  # s: worth a word, though no finding
MEMORY = 1_500_000_000  # bytes that the process of a reader holds, its libraries among them
ROOM = 6_000_000_000  # bytes of addresses that it may ask for, so that a fault does not take the machine down
RAM = Path("/dev/shm")  # where it is there: a disk waits for each file that is written over
REPORT = 30.0  # seconds between two lines on stderr


class Tally:
    """What the files of one kind came to."""

    def __init__(self) -> None:
        self.said, self.findings, self.slowest, self.peak, self.count = Counter[str](), list[str](), 0.0, 0, 0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.said[outcome.said] += 1
        self.slowest, self.peak = max(self.slowest, outcome.seconds), max(self.peak, outcome.peak)

    def row(self, kind: str) -> str:
        """The line of a Markdown table."""
        refused = ", ".join(f"{name} {number:,}" for name, number in self.said.most_common() if name != "accepted")
        return (
            f"| {kind} | {self.count:,} | {self.said['accepted']:,} | {refused} | {self.slowest:.2f} s "
            f"| {self.peak / 1e6:,.0f} MB | {len(self.findings)} |"
        )


def outcomes(kind: str, home: Path, seed: int, first: int) -> Iterator[tuple[int, Outcome]]:
    """Try one spoiled file after another, for ever."""
    worker = Worker(partial(untrusted.prepare, kind, home, ROOM))
    try:
        for number in count(first):
            worker.begin(Job(partial(untrusted.tried, kind, home, seed, number), SECONDS))
            outcome = worker.result()
            if isinstance(outcome, Lost):
                fault = f"takes more than {SECONDS:.0f} s" if outcome.late else "ends the process"
                outcome = Outcome("lost", fault, 0.0, 0)
            elif outcome.peak > MEMORY:
                outcome = outcome._replace(fault=f"{outcome.fault}takes {outcome.peak / 1e6:.0f} MB")
            if outcome.fault:
                worker.end()
            yield number, outcome
    finally:
        worker.end()


def tallied(kind: str, asked: argparse.Namespace) -> Tally:
    """Try the files of a kind, as many and as long as asked for."""
    tally, begun, told = Tally(), time.monotonic(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as folder:
        home = Path(folder)
        (home / "whole").mkdir()
        KINDS[kind].sow(home / "whole")
        for number, outcome in outcomes(kind, home, asked.seed, asked.first):
            tally.count += 1
            tally.add(outcome)
            if outcome.fault:
                tally.findings.append(outcome.fault)
                _, name, content = untrusted.mutant(kind, home, asked.seed, number)
                kept = asked.keep / f"{kind}_{asked.seed}_{number}_{Path(name).name}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(content)
                again = f"python tests/fuzz.py --kind {kind} --seed {asked.seed} --first {number} --mutations 1"
                print(f"{kept}: {outcome.fault.strip()}\n  {again}", flush=True)
            if outcome.seconds > SLOW:
                print(f"{kind} {number}: {outcome.seconds:.1f} s", file=sys.stderr, flush=True)
            now = time.monotonic()
            if now - told > REPORT:
                told = now
                print(f"{kind}: {tally.count} in {now - begun:.0f} s, {tally.said}", file=sys.stderr, flush=True)
            if tally.count >= asked.mutations or now - begun > 60 * asked.minutes:
                break
    return tally


def main() -> None:
    """Try all kinds, or one, and print the table; exit status 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all, one after another")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most, for each kind")
    parser.add_argument("--mutations", type=int, default=20_000, help="at most, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--keep", type=Path, default=Path("findings"), help="folder for the files that were found")
    asked = parser.parse_args()
    tallies = {kind: tallied(kind, asked) for kind in asked.kind or KINDS}
    print("| kind | files | accepted | refused | slowest | peak | findings |")
    print("|---|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        print(tally.row(kind))
    raise SystemExit(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    main()
