"""Where the sound of a WAV or AIFF file ends: its header says it, unless the writer was killed, or had to guess."""

import os
import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

ORDERS = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}  # of the bytes of a number, by a file's first letters
AIFF = (b"AIFF", b"AIFC")
SSND = 8  # bytes before the samples of an AIFF file's chunk of that name
EXPONENT = 16383  # of the number 1, in 80 bits
MOST = 0x7FFFFFFF  # bytes that FFmpeg lets a chunk of AIFF have
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
    rate: float  # bytes per second
    order: str  # of the bytes of a number, as `struct` has it


def goes_on(file: IO[bytes]) -> bool:
    """Whether sound lies behind the samples that the header of a WAV, RF64 or AIFF file counts; False of others.

    So it is where SCRAP seconds or more follow, or anything where none are counted, and begin neither as a chunk nor as
    a tag. Leaves the file at its start.
    """
    try:
        counted = _counted(file)
        if counted is None:
            return False
        left = file.seek(0, os.SEEK_END) - counted.end
        if left < max(SCRAP * counted.rate if counted.end > counted.start else 0, 1):
            return False
        file.seek(counted.end)
        rest = file.read(PADDING)
        heads = (rest, rest[(counted.end - counted.start) % 2 :], rest.lstrip(b"\0"))  # chunks begin at even places
        return not any(_is_chunk(head, left - len(rest) + len(head), counted.order) for head in heads)
    finally:
        file.seek(0)


def recounted(file: IO[bytes]) -> IO[bytes]:
    """An AIFF file as if its header counted all that follows as sound; another file as it is.

    For FFmpeg, which has an option to read WAV beyond what is counted, but none for AIFF. Leaves the file at its start.
    """
    try:
        is_aiff = _kinds(file)[1] in AIFF
        found = [chunk.place for chunk in _chunks(file, ">") if chunk.name == b"SSND"] if is_aiff else []
        end = file.seek(0, os.SEEK_END)
    finally:
        file.seek(0)
    if not found:
        return file
    sizes = {place - 4: struct.pack(">I", min(end - place, MOST)) for place in (8, found[0])}  # FORM's and SSND's
    return cast(IO[bytes], _Replaced(file, sizes))


class _Replaced:
    """A file of which some bytes read as others."""

    def __init__(self, file: IO[bytes], others: dict[int, bytes]) -> None:
        self._file, self._others = file, others  # by their place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        start = self._file.tell()
        content = bytearray(self._file.read(size))
        for place, other in self._others.items():
            for at, byte in enumerate(other, place - start):
                if 0 <= at < len(content):
                    content[at] = byte
        return bytes(content)


class _Chunk(NamedTuple):
    """A chunk of a file."""

    name: bytes
    place: int  # of its content
    size: int  # that is said of it
    begin: bytes  # of its content, with zeros behind where the file ends


def _chunks(file: IO[bytes], order: str) -> Iterator[_Chunk]:
    """The first chunks of a file."""
    place = 12
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        name, size, begin = struct.unpack(f"{order}4sI18s", file.read(26).ljust(26, b"\0"))
        yield _Chunk(name, place + 8, size, begin)
        place += 8 + size + size % 2


def _kinds(file: IO[bytes]) -> tuple[bytes, bytes]:
    """What a file of chunks is: its first letters, and those behind its size."""
    file.seek(0)
    kind, form = struct.unpack("4s4x4s", file.read(12).ljust(12))
    return kind, form


def _counted(file: IO[bytes]) -> _Counted | None:
    """What the header of a WAV or AIFF file says; None of another file."""
    kind, form = _kinds(file)
    if kind in ORDERS and form == b"WAVE":
        return _counted_wav(file, ORDERS[kind])
    return _counted_aiff(file) if kind == b"FORM" and form in AIFF else None


def _counted_wav(file: IO[bytes], order: str) -> _Counted | None:
    rate, long = 0, LONG
    for name, place, size, begin in _chunks(file, order):
        match name:
            case b"fmt ":
                (rate,) = struct.unpack_from(f"{order}I", begin, 8)
            case b"ds64":
                (long,) = struct.unpack_from(f"{order}Q", begin, 8)
            case b"data":
                return _Counted(place, place + (long if size == LONG else size), rate, order)
    return None


def _counted_aiff(file: IO[bytes]) -> _Counted | None:
    rate = 0.0
    for name, place, size, begin in _chunks(file, ">"):
        match name:
            case b"COMM":  # the sample rate has an exponent of its own, of 15 bits; of a rate that is one it is small
                channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", begin)
                rate = channels * (bits + 7) // 8 * mantissa * 2.0 ** (min(exponent, EXPONENT + 32) - EXPONENT - 63)
            case b"SSND":
                start = place + SSND
                return _Counted(start, max(place + size, start), rate, ">")
    return None


def _is_chunk(head: bytes, left: int, order: str) -> bool:
    """Whether what begins so, with so many bytes left of the file, is a chunk or a tag."""
    name, size = struct.unpack_from(f"{order}4sI", head.ljust(8, b"\0"))
    is_named = all(0x20 <= letter < 0x7F for letter in name)  # in printable ASCII
    return head.startswith(TAGS) or (is_named and (size <= left - 8 or name in CHUNKS))
