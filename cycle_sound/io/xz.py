"""The content of an .xz file in bounded memory: `lzma.open` takes as much as the file asks for, up to 4 GB."""

import io
from lzma import FORMAT_XZ, LZMADecompressor, LZMAError
from pathlib import Path
from typing import Any

MAX_MEMORY = 1 << 27  # bytes; what `xz -9` has written needs half of them
BLOCK = 1 << 16  # bytes
ALIGNMENT = 4  # bytes; zeros behind a stream come in multiples of them


class XzFile(io.RawIOBase):
    """The uncompressed content of an .xz file, of all its streams: programs that work in parallel write several.

    Reading raises EOFError where it is cut off, and lzma.LZMAError for what is broken or no stream.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rewind()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """True."""
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place from the start: forwards by reading on, backwards by reading all again."""
        if place < self._place:
            self._rewind()
        while self._place < place and self.read(min(BLOCK, place - self._place)):
            pass
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, unless the content ends before; how many bytes there were."""
        view, filled = memoryview(buffer), 0
        while filled < len(view) and self._is_in_stream():
            packed = self._taken() if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise EOFError("cut off")
            part = self._decompressor.decompress(packed, len(view) - filled)
            view[filled : filled + len(part)] = part
            filled += len(part)
        self._place += filled
        return filled

    def _rewind(self) -> None:
        self._file.seek(0)
        self._packed, self._place = b"", 0  # what has been read, but not been decompressed
        self._decompressor, self._has_ended = LZMADecompressor(FORMAT_XZ, MAX_MEMORY), False

    def _is_in_stream(self) -> bool:
        """Whether more may come; where a stream has ended, the next one is begun."""
        if self._decompressor.eof and not self._has_ended:
            self._packed = self._decompressor.unused_data
            self._pass_padding()
            self._has_ended = not self._packed
            if self._packed:
                self._decompressor = LZMADecompressor(FORMAT_XZ, MAX_MEMORY)
        return not self._has_ended

    def _pass_padding(self) -> None:
        """Leave out the zeros behind a stream. Raises lzma.LZMAError where they are not as many as they may be."""
        zeros = 0
        while packed := self._taken():
            self._packed = packed.lstrip(b"\0")
            zeros += len(packed) - len(self._packed)
            if self._packed:
                break
        if zeros % ALIGNMENT:
            raise LZMAError("zeros behind a stream that are no padding")

    def _taken(self) -> bytes:
        """The next bytes of the file; none at its end."""
        packed, self._packed = self._packed or self._file.read(BLOCK), b""
        return packed
