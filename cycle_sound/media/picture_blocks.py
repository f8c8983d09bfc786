"""The blocks of JPEG and PNG files, looked at without decoding: how much work they make, and which can be missed."""

import re
import zlib
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from cycle_sound.errors import BadPicture

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # how the files begin
MAX_SCANS = 64  # of a JPEG: each goes through all pixels, if only for ten bytes; encoders make one, or about ten
MAX_SEGMENTS = 2000  # of a JPEG's header, which are joined one by one; a colour profile takes up to 255
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")  # that begins a segment: no escape, no restart
SCAN, END, COMMENT = 0xDA, 0xD9, 0xFE  # markers of a JPEG's segments, behind 0xFF
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)  # frames of predicted pixels: Pillow misreads them, and at a part of their size it
# writes beyond its memory, since libjpeg-turbo decodes them at no other than the whole
NOTES = {*range(0xE0, 0xF0)} - {0xEE} | {COMMENT}  # all application segments but Adobe's, of how colours are stored
EXIF = b"Exif\x00\x00"
ENTRY = 12  # bytes of an entry of EXIF's directory
MAX_EXIF = 1 << 29  # bytes of all entries together: each may be all of EXIF; of a JPEG's segment 360 MB


def check_work(jpeg: bytes) -> None:
    """Raise `BadPicture` for a JPEG file that makes more work than its size tells, or that is a lossless one.

    Its scans, segments or EXIF make the work.
    """
    scans = 0
    for number, (marker, _) in enumerate(_markers(jpeg)):
        if marker in LOSSLESS:
            raise BadPicture("a lossless JPEG")
        scans += marker == SCAN
        if scans > MAX_SCANS or number > MAX_SEGMENTS:
            raise BadPicture(f"a JPEG of more than {MAX_SCANS} scans or {MAX_SEGMENTS} segments")
    check_exif(b"".join(_exif(jpeg)))


def check_exif(exif: bytes) -> None:
    """Raise `BadPicture` for EXIF, perhaps with its name, of which entries or names make more work than its size tells.

    Some programs write the name twice. Pillow takes off as many as there are, and copies the rest each time.
    """
    tiff = exif.removeprefix(EXIF).removeprefix(EXIF)
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
    directory = int.from_bytes(tiff[4:8], order)
    entries = min(int.from_bytes(tiff[directory : directory + 2], order), len(tiff) // ENTRY)
    if entries * len(tiff) > MAX_EXIF or tiff.startswith(EXIF):
        raise BadPicture(f"EXIF of {entries} entries in {len(tiff)} bytes")


def essential(content: bytes) -> bytes:
    """A JPEG or PNG file without the blocks that only describe it, but for EXIF; another file as it is."""
    if content.startswith(JPEG):
        return content[:2] + b"".join(_essential_segments(content))
    if content.startswith(PNG):
        return PNG + b"".join(chunk for chunk in _chunks(content) if _is_essential(chunk))
    return content


def _markers(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG file's segments and their places, up to the end of its first picture."""
    found = MARKER.search(jpeg, 2)
    while found and found[1][0] != END:
        yield found[1][0], found.start()
        size = int.from_bytes(jpeg[found.end() : found.end() + 2])
        found = MARKER.search(jpeg, found.end() + size)


def _exif(jpeg: bytes) -> Iterator[bytes]:
    """The parts of a JPEG file's EXIF, which may go on from one segment to the next, each without its name."""
    for _, place in takewhile(lambda found: found[0] != SCAN, _markers(jpeg)):
        if jpeg[place + 4 : place + 10] == EXIF:
            yield jpeg[place + 10 : place + 2 + int.from_bytes(jpeg[place + 2 : place + 4])]


def _essential_segments(jpeg: bytes) -> Iterator[bytes]:
    """What of a JPEG file's header a decoder needs, and EXIF; then all from its first scan on."""
    before, start = COMMENT, 2
    for marker, place in _markers(jpeg):
        if before not in NOTES or EXIF in jpeg[start : start + 10]:
            yield jpeg[start:place]
        before, start = marker, place
        if marker == SCAN:
            break
    yield jpeg[start:]


def _chunks(png: bytes) -> Iterator[bytes]:
    """The chunks of a PNG file: of each its length, kind, content and checksum."""
    start = len(PNG)
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4])
        yield png[start:end]
        start = end


def _is_essential(chunk: bytes) -> bool:
    """Whether a chunk is critical, or is the transparency, or EXIF, which may turn the picture, and whole."""
    kind, is_whole = chunk[4:8], zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
    return kind[:1].isupper() or kind == b"tRNS" or (kind == b"eXIf" and is_whole)
