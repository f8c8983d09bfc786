"""Arrays in .npy files as this program writes them, mapped into memory and not trusted.

numpy's own reader lets a header be any literal of Python, in two dialects, and fails over odd ones in a dozen ways.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cycle_sound.io import files

MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '(\|u1|<u2|<u4|<i8|<f2|<f8)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,12}, ?)+\d{0,12})\), \} *\n"
)


class Layout(NamedTuple):
    """The element type and shape of an array to be written."""

    kind: type[np.generic]
    shape: tuple[int, ...]


def viewed(content: np.ndarray) -> np.ndarray:
    """The array in the content of a file, which is uint8 (n,) and not copied. Raises ValueError for another file."""
    start = 10 + int.from_bytes(content[8:10].tobytes(), "little")
    found = HEADER.fullmatch(content[10:start].tobytes())
    if found is None or content[:8].tobytes() != MAGIC:
        raise ValueError("not an array as this program writes it")
    shape = [int(number) for number in found[2].replace(b",", b" ").split()]
    return content[start:].view(found[1].decode()).reshape(shape)


def mapped(path: Path) -> np.ndarray:
    """The array in a file, of which nothing is read yet. Raises ValueError for another file, FileNotFoundError."""
    return viewed(np.memmap(path, dtype=np.uint8, mode="r"))


def allocate(path: Path, array: Layout) -> None:
    """Make a file hold an array of this layout: existing rows stay, new rows are 0. Raises `DiskFull`."""
    size = math.prod(array.shape) * array.kind(0).nbytes
    with files.naming(path, size=size):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as file:
            header = {"descr": np.dtype(array.kind).str, "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + size)


def fill(path: Path, first: int, rows: np.ndarray) -> None:
    """Overwrite rows of the array in an existing file, from row `first` on. Raises `DiskFull`."""
    # Not through the mapping: a disk that is full would end the process, without a word.
    array = mapped(path)
    start = path.stat().st_size - array.nbytes + first * array[0].nbytes
    with files.naming(path, size=rows.size * array.itemsize), path.open("r+b") as file:
        file.seek(start)
        file.write(np.ascontiguousarray(rows, dtype=array.dtype).data)


def write(path: Path, array: np.ndarray) -> None:
    """Write a whole array, of at least one row, atomically. Raises `DiskFull`."""
    with files.replacing(path, array.nbytes) as part:
        allocate(part, Layout(array.dtype.type, array.shape))
        fill(part, 0, array)
