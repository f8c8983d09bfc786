"""The content of an .xz file in bounded memory: `lzma.open` takes as much as the file asks for, up to 4 GB."""

import io
from lzma import FORMAT_XZ, LZMADecompressor
from pathlib import Path
from typing import Any

MAX_MEMORY = 1 << 27  # bytes; what `xz -9` has written needs half of them
BLOCK = 1 << 16  # bytes


class XzFile(io.RawIOBase):
    """The uncompressed content of an .xz file. Reading raises EOFError where it is cut off, and lzma.LZMAError."""

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
        while filled < len(view) and not self._decompressor.eof:
            packed = self._file.read(BLOCK) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise EOFError("cut off")
            part = self._decompressor.decompress(packed, len(view) - filled)
            view[filled : filled + len(part)] = part
            filled += len(part)
        self._place += filled
        return filled

    def _rewind(self) -> None:
        self._file.seek(0)
        self._decompressor, self._place = LZMADecompressor(FORMAT_XZ, MAX_MEMORY), 0
