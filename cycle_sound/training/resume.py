"""Snapshots of a running training: killed at any moment, it resumes where it was and ends with the same bytes.

No random state is kept, since all random numbers are functions of the seed and the step. A snapshot is one safetensors
file, replaced atomically, in a folder that DVC does not track; it is deleted when the training is done.

A thread writes it from a copy on the CPU, so the training waits only for the copy. torch.distributed.checkpoint does
the same, but reads the index of its folder with pickle, which executes what a file says. If each process holds a shard,
the file still holds the whole, so any number of processes can resume. For 300 M weights on eight GPUs these are 5 GB,
every half minute: at nominal rates the GPUs' link gathers them in 0.1 s, and pinned memory takes them in 0.2 s.
"""

import hashlib
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from pydantic import ValidationError
from torch import Tensor

from cycle_sound.errors import NoSafetensors
from cycle_sound.nn import checkpoint, distributed
from cycle_sound.params import Config, Count, fault
from cycle_sound.training import fsdp

Tree = Mapping[str, Any]  # of tensors: keys without a slash, leaves that are tensors

SECONDS = 30.0  # of work that a kill may cost
FRACTION = 0.05  # of the time that copying may take: a large model is written less often
STOPS = (signal.SIGTERM, signal.SIGINT)  # ask a training to stop: a cluster's before it takes a machine back, a Ctrl-C


class State(NamedTuple):
    """All that a training needs to go on after `step` steps."""

    step: int
    rows: list[dict[str, float]]  # the learning curve so far
    tensors: dict[str, Any]  # a tree


class Facts(Config):
    """What the file of a state says of it."""

    identity: str
    digest: str  # of the tensors
    step: Count
    rows: list[dict[str, int | float]]


class Snapshot:
    """Where one training keeps its state. `identity` names what it depends on: a state of another one is ignored."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self.asked: signal.Signals | None = None  # to stop, by which of STOPS
        self._due = time.monotonic() + SECONDS
        self._thread = futures.ThreadPoolExecutor(1)
        self._writing: futures.Future[None] | None = None

    def save(self, state: State) -> None:
        """Write a state in place of the one before: when this returns, it is there for good.

        To be called in every process; the first writes. Raises `DiskFull` or an OSError, also of a state begun earlier.
        """
        self._finish()
        tensors = _gathered(state.tensors, copy=False)
        if distributed.is_first():
            self._write(state, tensors)

    def begin_saving(self, state: State) -> None:
        """Copy a state, and write it while the training goes on; what goes wrong is raised by what is called next.

        To be called in every process, where `is_due` in the first.
        """
        self._finish()
        begin = time.monotonic()
        tensors = _gathered(state.tensors, copy=True)
        if distributed.is_first():
            self._writing = self._thread.submit(self._write, state, tensors)
        end = time.monotonic()
        self._due = end + max(SECONDS, (end - begin) / FRACTION)

    def is_due(self) -> bool:
        """Whether to begin saving: in the first process, after enough work, if no state is still being written."""
        if self._writing is not None and self._writing.done():
            self._finish()
        return distributed.is_first() and self._writing is None and time.monotonic() >= self._due

    def _finish(self) -> None:
        """Wait for a state that is being written. Raises what its writing has raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, state: State, tensors: Mapping[str, Tensor]) -> None:
        facts = Facts(identity=self.identity, digest=_digest(tensors), step=state.step, rows=state.rows)
        checkpoint.write(self.path, tensors, facts.model_dump_json())

    def load(self) -> State | None:
        """The state to resume from, on the CPU; None, with a message, if there is none of this same training."""
        if not self.path.is_file():
            return None
        try:
            with checkpoint.opened(self.path) as file:
                facts = Facts.model_validate_json((file.metadata() or {}).get("facts", ""))
                if facts.identity != self.identity:
                    print(f"{self.path}: of other data, parameters or code; starting from the beginning")
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _digest(tensors) != facts.digest:
                raise NoSafetensors(path=self.path, reason="damaged")
        except (NoSafetensors, ValidationError) as error:
            print(f"{self.path}: cannot be read ({fault(error)!r}); starting from the beginning")
            return None
        print(f"{self.path}: going on after step {facts.step}")
        return State(facts.step, facts.rows, tree(tensors))

    def discard(self) -> None:
        """Remove the state of a training that is done."""
        if distributed.is_first():
            self.path.unlink(missing_ok=True)

    def stop(self) -> NoReturn:
        """End the process, its state having been saved: SystemExit with 128 + the signal that asked it to stop."""
        by = self.asked or signal.SIGTERM  # another process was asked
        if distributed.is_first():
            print(f"stopped by {by.name}; `dvc repro` goes on from {self.path}")
        raise SystemExit(128 + by)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let STOPS wait for the step under way, and more of them for the state to be saved.

        One that is ignored, as for a job in the background, stays so. At the end no state is still being written.
        """

        def ask(number: int, _frame: Any) -> None:
            self.asked = self.asked or signal.Signals(number)

        before = {number: signal.getsignal(number) for number in STOPS}
        heeded = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
        for number in heeded:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in heeded.items():
                signal.signal(number, handler)
            futures.wait([self._writing] if self._writing else [])


def _gathered(tensors: Tree, copy: bool) -> dict[str, Tensor]:
    """A tree's tensors on the CPU, whole and flat: in the first process, to which the others give their shares."""
    gathered = {}
    for name, tensor in flat(tensors).items():
        whole = fsdp.whole(tensor).detach()
        if distributed.is_first():
            gathered[name] = whole.contiguous().to("cpu", non_blocking=True, copy=copy)  # a GPU's to pinned memory
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return gathered


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors: safetensors itself would not notice other numbers."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def flat(tensors: Tree, prefix: str = "") -> dict[str, Tensor]:
    """A tree as one mapping, the keys joined by slashes."""
    joined: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            joined[f"{prefix}{name}"] = value
        else:
            joined |= flat(value, f"{prefix}{name}/")
    return joined


def tree(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The tree of a mapping with joined keys."""
    grown: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *folders, leaf = name.split("/")
        place = grown
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = tensor
    return grown
