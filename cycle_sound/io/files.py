"""Files that exist whole or not at all, and their digests."""

import csv
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's id: workers on two machines may share it.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Write JSON atomically, with six significant digits: what a person compares, stable to the byte.

    Raises ValueError for a NaN or an infinity: a metric that cannot be computed is left out, not written.
    """
    text = json.dumps({name: _rounded(value) for name, value in tree.items()}, indent=2, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, at least one, with the keys of the first as header, atomically and one at a time."""
    later = iter(rows)
    first = next(later)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _rounded(value) for name, value in row.items()} for row in chain([first], later))


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(*paths: Path) -> str:
    """SHA-256 over the contents of files, in the order given."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    return value
