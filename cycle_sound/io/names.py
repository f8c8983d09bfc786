"""Names and labels from outside: which are the same, which are hidden, how they are shown."""

import re
import unicodedata
from pathlib import PurePath

# What a terminal obeys or nobody can encode: control characters, line and paragraph separators, changes of the writing
# direction, which turn round the rest of a line, and halves of surrogate pairs. Joiners and wide spaces are none.
UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
GAP = re.compile(r"[ \t-\r]+")  # spaces, tabs, line breaks


def normal(text: str) -> str:
    """The one form in which names are compared, Unicode's NFC: macOS writes `é` as two characters, others as one."""
    return unicodedata.normalize("NFC", text)


def stem(path: PurePath) -> str:
    """A file's name without its extension, in normal form."""
    return normal(path.stem)


def is_hidden(path: PurePath) -> bool:
    """Whether a file or a folder around it is hidden, as `.DS_Store`, `._ID.mp3` and `.cache/ID.mp3` are."""
    return any(part.startswith(".") and part != ".." for part in path.parts)


def printable(text: str) -> str:
    r"""Text as any terminal shows it: what it would obey becomes an escape such as `\x1b`, all else stays as it is."""
    return UNSHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """A message as one printable line: spaces, tabs and line breaks in a row become one space."""
    return printable(GAP.sub(" ", text).strip(" "))
