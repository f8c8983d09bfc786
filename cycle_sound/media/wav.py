"""Where the sound of a WAV file ends: its header says it, unless the writer was killed, or had to guess."""

import os
import struct
from typing import IO, NamedTuple

ORDERS = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}  # of the bytes of a number, by a file's first letters
LONG = 0xFFFFFFFF  # in place of a size that does not fit: it stands in a chunk `ds64`, or nobody knew it
MAX_CHUNKS = 1000  # before the samples; programs write ten
SCRAP = 0.1  # s behind the samples that are counted; less may be padding
PADDING = 4096  # bytes; so many zeros may lie before a chunk
CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"_PMX", b"cue ", b"junk", b"JUNK")  # which may be cut off
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # of MP3 files, which some programs put behind any


class _Counted(NamedTuple):
    """What a header says of a file's samples."""

    start: int  # byte
    end: int  # byte behind the last
    rate: int  # bytes per second
    order: str  # of the bytes of a number, as `struct` has it


def goes_on(file: IO[bytes]) -> bool:
    """Whether sound lies behind the samples that the header of a WAV or RF64 file counts; False of any other file.

    So it is where SCRAP seconds or more follow, or anything where none are counted, and begin neither as a chunk nor as
    a tag. Leaves the file at its start.
    """
    try:
        counted = _counted(file)
        if counted is None:
            return False
        left = file.seek(0, os.SEEK_END) - counted.end
        if left < (SCRAP * counted.rate if counted.end > counted.start else 1):
            return False
        file.seek(counted.end)
        rest = file.read(PADDING)
        heads = (rest, rest[(counted.end - counted.start) % 2 :], rest.lstrip(b"\0"))  # chunks begin at even places
        return not any(_is_chunk(head, left - len(rest) + len(head), counted.order) for head in heads)
    finally:
        file.seek(0)


def _counted(file: IO[bytes]) -> _Counted | None:
    """What the header of a WAV file says; None of another file."""
    file.seek(0)
    kind, form = struct.unpack("4s4x4s", file.read(12).ljust(12))
    if kind not in ORDERS or form != b"WAVE":
        return None
    order, place, rate, long = ORDERS[kind], 12, 0, LONG
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        name, size, content = struct.unpack(f"{order}4sI16s", file.read(24).ljust(24, b"\0"))
        place += 8
        match name:
            case b"fmt ":
                (rate,) = struct.unpack_from(f"{order}I", content, 8)
            case b"ds64":
                (long,) = struct.unpack_from(f"{order}Q", content, 8)
            case b"data":
                return _Counted(place, place + (long if size == LONG else size), rate, order)
        place += size + size % 2
    return None


def _is_chunk(head: bytes, left: int, order: str) -> bool:
    """Whether what begins so, with so many bytes left of the file, is a chunk or a tag."""
    name, size = struct.unpack_from(f"{order}4sI", head.ljust(8, b"\0"))
    is_named = all(0x20 <= letter < 0x7F for letter in name)  # in printable ASCII
    return head.startswith(TAGS) or (is_named and (size <= left - 8 or name in CHUNKS))
