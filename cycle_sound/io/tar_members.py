"""The files inside a tar, listed without trusting it: their names, and where they lie.

Python's own tarfile goes where a header sends it, backwards too, parses attributes in quadratic time and keeps all that
it has seen. Of it only `TarInfo.frombuf` is used, which reads one block; the listing goes forwards alone.
"""

import tarfile
from collections.abc import Iterator, Mapping
from tarfile import BLOCKSIZE, TarInfo
from typing import IO, NamedTuple

from cycle_sound.errors import BadTar

MAX_HEADERS = 500_000  # VGGSound has 200,000 clips; who keeps them all needs 250 MB, and ten seconds to read them
MAX_ATTRIBUTES = 1 << 16  # bytes of a path or of a member's attributes; read, they take ten times as much
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
ATTRIBUTES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)  # of the member that follows
SPARSE = b"GNU.sparse"  # how those attributes begin that sparse files alone have
HEEDED = (b"path", b"size", SPARSE)  # all others, of any number and length, are not kept
PASSED_OVER = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)  # attributes of all members; targets of links
WITHOUT_DATA = {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}


class Member(NamedTuple):
    """A file inside a tar."""

    name: str
    offset: int  # bytes from the tar's start
    size: int  # bytes


def listed(file: IO[bytes], length: int) -> Iterator[Member]:
    """The regular files in a tar, in their order; `file` is seekable, not compressed, and has at most `length` bytes.

    Links, sparse files and whatever else is no plain file are passed over. Raises `BadTar` for what is no tar, is cut
    off, reaches beyond `length` or has more than MAX_HEADERS members, and what `file` raises.
    """
    place, attributes = 0, dict[bytes, str]()
    for _ in range(MAX_HEADERS):
        block = _read(file, place, BLOCKSIZE)
        if not any(block):
            return
        info = _header(block)
        start = _after_map(file, place, block, length) if info.type == tarfile.GNUTYPE_SPARSE else place + BLOCKSIZE
        size = _size(info, attributes)
        if not 0 <= size <= length - start:
            raise BadTar(f"a member of {size} bytes where {length - start} are left")
        if info.type in ATTRIBUTES:
            attributes |= _attributes(info, _read(file, start, size))
        elif info.type not in PASSED_OVER:
            if info.type in FILES and SPARSE not in attributes:
                yield Member(attributes.get(b"path", info.name), start, size)
            attributes = {}
        place = start + -(-size // BLOCKSIZE) * BLOCKSIZE
    raise BadTar(f"more than {MAX_HEADERS} members")


def _read(file: IO[bytes], place: int, size: int) -> bytes:
    """Bytes of the file, so many."""
    if size > MAX_ATTRIBUTES:
        raise BadTar(f"attributes of {size} bytes")
    file.seek(place)
    content = file.read(size)
    if len(content) < size:
        raise BadTar(f"cut off after {place + len(content)} bytes")
    return content


def _header(block: bytes) -> TarInfo:
    try:
        return TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise BadTar(str(error)) from None


def _after_map(file: IO[bytes], place: int, block: bytes, length: int) -> int:
    """Where a sparse file's data begin: behind the map of its holes, whose blocks say whether another one follows.

    A map that goes on beyond `length` is left there: where it ends no data can lie.
    """
    place, follows = place + BLOCKSIZE, block[482]
    while follows and place < length:
        follows, place = _read(file, place, BLOCKSIZE)[504], place + BLOCKSIZE
    return place


def _size(info: TarInfo, attributes: Mapping[bytes, str]) -> int:
    """How many bytes follow a header. Attributes that say so are those of the member that they belong to."""
    if info.type in WITHOUT_DATA:
        return 0
    said = attributes.get(b"size")
    if said is None or info.type in (*ATTRIBUTES, *PASSED_OVER):
        return info.size
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise BadTar(f"a member of {said[:20]!r} bytes")
    return int(said)


def _attributes(info: TarInfo, content: bytes) -> dict[bytes, str]:
    """What is heeded of records `LENGTH NAME=VALUE` and a line break, the length that of the whole record.

    Of GNU tar the path alone.
    """
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {b"path": _text(content.partition(b"\0")[0])}
    found, place = dict[bytes, str](), 0
    while place < len(content):
        digits = content[place : place + 8].partition(b" ")[0]
        end = place + int(digits) if digits.isdigit() else place
        name, equals, value = content[place + len(digits) + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or content[end - 1 : end] != b"\n":
            raise BadTar("attributes of another form")
        name = SPARSE if name.startswith(SPARSE) else name
        if name in HEEDED:
            found[name] = _text(value)
        place = end
    return found


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
