"""What README and docs/ hold: blocks of code, the commands in them, names and links in the prose."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *SITE]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
SEPARATORS = {"&&", "||", "|", "&", ";"}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int  # of the page, of its first line
    language: str
    text: str


class Command(NamedTuple):
    """One command as a shell takes it: without assignments before it, in the words that it gets."""

    place: str  # PAGE:LINE
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.words)}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in some languages."""
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def commands(block: Block, substitute: Callable[[tuple[str, ...]], list[str]]) -> Iterator[Command]:
    """The commands of a block, also those inside `$(…)`, which `substitute` puts words in place of."""
    text = block.text.replace("\\\n", " ")
    for number, line in enumerate(text.splitlines()):
        place = f"{block.page.relative_to(ROOT)}:{block.line + number}"
        for inner in SUBSTITUTION.findall(line):
            yield Command(place, tuple(shlex.split(inner)))
        line = SUBSTITUTION.sub(lambda found: shlex.join(substitute(tuple(shlex.split(found[1])))), line)
        yield from (Command(place, words) for words in _split(line.replace("$PWD", str(ROOT))))


def spans(page: Path) -> list[str]:
    """The pieces of code in the prose of a page."""
    return SPAN.findall(_prose(page))


def links(page: Path) -> list[str]:
    """Where the links of a page lead within the project: PATH, PATH#ANCHOR, #ANCHOR."""
    return [link for link in LINK.findall(_prose(page)) if not link.startswith(("http:", "https:"))]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])


def _prose(page: Path) -> str:
    return COMMENT.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))


def _split(line: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in SEPARATORS:
            words.append(word)
            continue
        while words and ASSIGNMENT.match(words[0]):
            del words[0]
        if words:
            yield tuple(words)
        words = []
