"""Arrays in .npy files as this program writes them, mapped into memory and not trusted.

numpy's own reader lets a header be any literal of Python, in two dialects, and fails over odd ones in a dozen ways.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cycle_sound.io import files

MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '(\|u1|<u2|<u4|<i8|<f2|<f8)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,12}, ?)+\d{0,12})\), \} *\n"
)


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


def write(path: Path, kind: type[np.generic], shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> None:
    """Write an array of a shape, whose parts follow one another along its first axis, atomically."""
    with files.replacing(path, math.prod(shape) * kind(0).nbytes) as part, part.open("wb") as file:
        # Not np.save: it says of a full disk that fewer numbers were written, and not why.
        layout = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, layout)
        for rows in parts:
            file.write(np.ascontiguousarray(rows, dtype=kind).data)
